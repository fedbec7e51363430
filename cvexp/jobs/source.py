"""A trained model to work with, from a run in the store or from an exported file."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.data.named import locate
from cvexp.errors import DatasetError, InputError, RunError, WeightsError
from cvexp.runs import EXPORT_SUFFIXES, MODEL_URI
from cvexp.text import shown

if TYPE_CHECKING:
    from torch import nn

    from cvexp.data.dataset import Dataset
    from cvexp.device import Device
    from cvexp.export.card import ModelCard
    from cvexp.inference.predictor import Predictor
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.queries import Selection
    from cvexp.tracking.store import Store

LONGEST_NUMBER = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainedModel:
    """A model with its weights, and its run or file.

    Attributes:
        predictor: Runs the model on `device`.
        card: What it takes to rebuild it, and the facts of its run.
        name: The run's name, or the file's.
        run: The run, in `store`; None for an exported file.
        note: What to know about how it was chosen.
    """

    predictor: Predictor
    device: Device
    card: ModelCard
    name: str
    run: RunSummary | None = None
    store: Store | None = None
    note: str | None = None

    @property
    def model(self) -> nn.Module:
        """The torch module, on `device`; WeightsError for an exported program, which no module can be rebuilt from."""
        from cvexp.inference.predictor import TorchPredictor

        if not isinstance(self.predictor, TorchPredictor):
            raise WeightsError(
                f"{self.name} holds no weights to rebuild a model with",
                f"it is a program, without layers and gradients to look at: name its run, {self.card.run_id[:12]}",
            )
        return self.predictor.model

    def load_dataset(self, data_dir: Path, name: str | None = None, *, val_split: float = 0.0) -> Dataset:
        """The dataset it was trained on, cut as its run cut it, or the one called `name`.

        The test images are the same for every `val_split`, which is the fraction to set aside for validation.

        Raises:
            DatasetError: It cannot be had, or has other shapes or another number of classes.
        """
        from cvexp.config.data import DataConfig
        from cvexp.data.dataset import load_dataset

        card, spec = self.card, self.card.spec
        channels, height, width = spec.image_shape
        # Another registered dataset keeps its own size, and is refused where the model does not take it.
        is_other = name not in (None, spec.dataset) and locate(name or "", data_dir) is None
        is_sized = height == width and not is_other
        config = DataConfig(
            dataset=name or spec.dataset,
            image_size=height if is_sized else None,
            resize=spec.fitting.resize if is_sized else "crop",
            val_split=val_split,
            split_seed=card.split_seed,
            limit=None if name else card.limit,
        )
        dataset = load_dataset(config, data_dir, interpolation=spec.fitting.interpolation, channels=channels)
        if dataset.image_shape != tuple(spec.image_shape) or dataset.n_classes != len(spec.class_names):
            theirs = f"{'x'.join(map(str, dataset.image_shape))} images in {dataset.n_classes} classes"
            ours = f"{'x'.join(map(str, spec.image_shape))} in {len(spec.class_names)}"
            raise DatasetError(
                f"{dataset.name} has {theirs}, and this model takes {ours}", f"use {spec.dataset} instead"
            )
        is_own = locate(dataset.name, data_dir) is not None
        if is_own and dataset.class_names != spec.class_names:
            theirs, ours = (shown(list(names)) for names in (dataset.class_names, spec.class_names))
            raise DatasetError(
                f"{dataset.name} has the classes {theirs}, and this model {ours}", "name the folders alike"
            )
        if name is None and dataset.digest != spec.dataset_digest and is_own:
            raise DatasetError(
                f"{dataset.place} holds other images than {self.name} was trained on",
                f"to measure it on these: cvexp evaluate RUN --dataset {dataset.name}",
                "the folder that held them then can be named with --data-dir, where --dataset was relative",
            )
        return dataset


def load_trained(
    selector: str, settings: StoreSettings, *, device_name: str = "cpu", trusted_factory: str | None = None
) -> TrainedModel:
    """Read a trained model, its weights verified by digest.

    Args:
        selector: A run, by `models:/` too (see tracking.queries), or the path of an exported file, by its suffix.
        settings: Where runs are.
        device_name: Where to predict; see `cvexp.device.choose`.
        trusted_factory: `package.module:factory` of a model that is not in the registry.

    Raises:
        InputError: There is no such run, file or device, or the weights cannot be used.
    """
    if selector.endswith(tuple(EXPORT_SUFFIXES.values())) and not selector.startswith(MODEL_URI):
        return _from_file(selector, settings, device_name, trusted_factory)
    from cvexp.tracking.recovery import recover

    recover(settings)
    return _from_run(selector, settings, device_name, trusted_factory)


def _from_file(selector: str, settings: StoreSettings, device_name: str, trusted_factory: str | None) -> TrainedModel:
    path = Path(selector)
    if not path.is_file():
        raise WeightsError(f"no such file: {path}", f"export a run first: {settings.command('export', 'RUN')}")
    from cvexp.device import choose
    from cvexp.export.card import load_card
    from cvexp.export.formats import exporter_of

    card, device = load_card(path), choose(device_name)
    read = exporter_of(card.format).read
    predictor = read(path, card.spec, device=device.torch, trusted_factory=trusted_factory)
    return TrainedModel(predictor=predictor, device=device, card=card, name=str(path))


def find_run(selector: str, settings: StoreSettings) -> tuple[RunSummary, StoreSettings]:
    """The run a selector means, also where so far only its journal knows it, and its own experiment's settings."""
    from cvexp.tracking.queries import experiment_of

    store, selection = selected(selector, settings)
    run = selection.run
    if store is None or not run.experiment_id:
        return run, settings
    return run, replace(settings, experiment=experiment_of(store, run))


def selected(selector: str, settings: StoreSettings) -> tuple[Store | None, Selection]:
    """The store, and the run that `selector` means there or among those that wait to be delivered to it.

    A run that has a folder here is found by its id, its name and `@last` also where the store does not know it, has
    lost it, or does not answer.
    """
    from cvexp.tracking.local import local_runs
    from cvexp.tracking.queries import Selection, find
    from cvexp.tracking.store import open_store

    waiting = local_runs(settings, only_unknown=True)
    try:
        store = open_store(settings, create=False)
        selection = find(store, selector)
    except InputError:
        if selector.startswith(MODEL_URI):
            raise
        here = local_runs(settings)
        meant = [run for run in here if selector == run.name or (selector and run.run_id.startswith(selector))]
        fitting = here[:1] if selector == "@last" else meant
        if len(fitting) != 1:
            raise
        return None, Selection(run=fitting[0])
    if selector == "@last" and waiting and waiting[0].started_at > selection.run.started_at:
        return store, Selection(run=waiting[0])
    return store, selection


def _from_run(selector: str, settings: StoreSettings, device_name: str, trusted_factory: str | None) -> TrainedModel:
    from cvexp.tracking.artifacts import artifact_folder, located
    from cvexp.tracking.queries import foreign

    store, selection = selected(selector, settings)
    if "cvexp.version" not in selection.run.tags:
        raise foreign(selection.run)
    run = located(store, selection.run)
    notes = [selection.note] if selection.note else []
    if run is not selection.run:
        notes.append(f"{selection.run.artifacts_uri} does not exist (was the folder moved?): read beside the store")
    from cvexp.device import choose
    from cvexp.export.card import ModelCard
    from cvexp.export.run_folder import load_spec, load_weights

    device = choose(device_name)
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        folder = artifact_folder(store, run, "weights", Path(scratch))
        spec = load_spec(folder)
        recorded = run.tags.get("cvexp.weights_sha256")
        predictor = load_weights(folder, spec, device=device.torch, sha256=recorded, trusted_factory=trusted_factory)
    card = ModelCard(
        spec=spec,
        format="state-dict",
        run_id=run.run_id,
        run_name=run.name,
        device_name=run.tags.get("cvexp.device_name", ""),
        split_seed=integer_setting(run, "split_seed", least=0) or 0,
        limit=integer_setting(run, "limit", least=1),
        settings=run.settings,
        metrics=run.metrics,
    )
    note = "; ".join(notes) or None
    return TrainedModel(predictor=predictor, device=device, card=card, name=run.name, run=run, store=store, note=note)


def integer_setting(run: RunSummary, name: str, *, least: int) -> int | None:
    """A parameter of the run: an integer, or None for `none`; the store's content is untrusted."""
    text = run.params.get(name, "none")
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit() and least <= int(text[:LONGEST_NUMBER]) < 2**32):
        raise RunError(f"run {run.name} has the parameter {name}={shown(text)}", "train again: its split is not known")
    return int(text)
