"""The images and the model that a training begins with."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.data.dataset import load_dataset
from cvexp.models.freeze import freeze
from cvexp.models.registry import build
from cvexp.models.summary import check_output

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.models.registry import ModelEntry
    from cvexp.training.initial_weights import InitialWeights


def initial_data(config: RunConfig, data_dir: Path, dataset: Dataset | None, weights: InitialWeights | None) -> Dataset:
    """The dataset that `config` names, or the one given, resized and standardized as the weights want it."""
    known = None if weights is None else weights.preprocessing
    interpolation = "bilinear" if known is None else known.interpolation
    if dataset is None or (dataset.is_fitted and dataset.fitting.interpolation != interpolation):
        dataset = load_dataset(config, data_dir, interpolation=interpolation)
    return dataset if known is None else replace(dataset, transform=known.transform(dataset.image_shape[0]))


def initial_model(
    config: RunConfig, entry: ModelEntry, dataset: Dataset, weights: InitialWeights | None
) -> tuple[nn.Module, tuple[str, ...]]:
    """The model for the dataset, with its initial weights, frozen as `config` says; and what was done to it, by line.

    Raises:
        InputError: It does not fit the images or the weights, or cannot be frozen so.
    """
    shape, n_classes = dataset.image_shape, dataset.n_classes
    model = build(
        entry, image_shape=shape, n_classes=n_classes, hidden_units=config.hidden_units, model_args=config.model_args
    )
    check_output(model, name=config.model, image_shape=shape, n_classes=n_classes)
    notes = list(getattr(model, "adaptations", ())) if entry.family else []
    if weights is not None:
        notes.append(weights.put_into(model, name=config.model, n_classes=n_classes))
        notes.append(weights.about_size(max(shape[1:])))
    if config.freeze is not None:
        freeze(model, config.freeze, n_classes=n_classes)
    return model, tuple(filter(None, notes))
