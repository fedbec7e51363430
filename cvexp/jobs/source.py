"""A trained model to work with, from a run in the store or from an exported file."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.config.run import WEIGHTS_SUFFIXES
from cvexp.data.registry import find_spec
from cvexp.errors import DatasetError, InputError, RunError, WeightsError
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import nn

    from cvexp.data.dataset import Dataset
    from cvexp.models.spec import ModelSpec
    from cvexp.results import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.find import Selection
    from cvexp.tracking.store import Store

LONGEST_NUMBER = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A model with its weights, on the CPU, and what is known of it.

    Attributes:
        model: Rebuilt from `spec`.
        spec: Architecture, shapes, classes, preprocessing.
        name: The run's name, or the file's.
        run_id: Of the run that trained it.
        run: The run; None for an exported file.
        store: Where the run is; None for an exported file.
        settings: Of the run, as in the end they were.
        metrics: The run's last figures; NaN for one of which an exported file says that it is no finite number.
        device_name: Where the run was measured.
        split_seed: Of the run.
        limit: Of the run.
        note: What to know about how it was chosen.
    """

    model: nn.Module
    spec: ModelSpec
    name: str
    run_id: str
    run: RunSummary | None
    store: Store | None
    settings: Mapping[str, str]
    metrics: Mapping[str, float]
    device_name: str
    split_seed: int
    limit: int | None
    note: str | None

    def load_dataset(self, data_dir: Path, name: str | None = None) -> Dataset:
        """The dataset it was trained on, cut as its run cut it, or another one that fits.

        Raises:
            DatasetError: The dataset cannot be had, or has other shapes or another number of classes.
        """
        from cvexp.data.dataset import load

        dataset = load(
            find_spec(name or self.spec.dataset),
            data_dir,
            split_seed=self.split_seed,
            limit=None if name else self.limit,
        )
        if dataset.image_shape != tuple(self.spec.image_shape) or dataset.n_classes != len(self.spec.class_names):
            theirs = f"{'x'.join(map(str, dataset.image_shape))} images in {dataset.n_classes} classes"
            ours = f"{'x'.join(map(str, self.spec.image_shape))} in {len(self.spec.class_names)}"
            raise DatasetError(
                f"{dataset.name} has {theirs}, and this model takes {ours}", f"use {self.spec.dataset} instead"
            )
        return dataset


def open_trained(selector: str, settings: StoreSettings, *, trusted_factory: str | None = None) -> Trained:
    """Read a trained model, its weights verified by digest.

    Args:
        selector: A run (see tracking.find), or the path of an exported `.pt` or `.safetensors` file.
        settings: Where runs are.
        trusted_factory: `package.module:factory` of a model that is not in the registry.

    Raises:
        InputError: There is no such run or file, or its weights cannot be used.
    """
    if selector.endswith(WEIGHTS_SUFFIXES):
        return _from_file(Path(selector), settings, trusted_factory)
    return _from_run(selector, settings, trusted_factory)


def _from_file(path: Path, settings: StoreSettings, trusted_factory: str | None) -> Trained:
    if not path.is_file():
        raise WeightsError(f"no such file: {path}", f"export a run first: {settings.command('export', 'RUN')}")
    from cvexp.export import load_card, load_exported

    card = load_card(path)
    return Trained(
        model=load_exported(path, card, trusted_factory=trusted_factory),
        spec=card.spec,
        name=str(path),
        run_id=card.run_id,
        run=None,
        store=None,
        settings=card.settings,
        metrics={key: math.nan if value is None else value for key, value in card.metrics.items()},
        device_name=card.device_name,
        split_seed=card.split_seed,
        limit=card.limit,
        note=None,
    )


def find_run(selector: str, settings: StoreSettings) -> tuple[RunSummary, StoreSettings]:
    """The run a selector means, also where so far only its journal knows it, and the settings of its own experiment."""
    from cvexp.tracking.find import experiment_of

    store, selection = _select(selector, settings)
    run = selection.run
    if store is None or not run.experiment_id:
        return run, settings
    return run, replace(settings, experiment=experiment_of(store, run))


def _select(selector: str, settings: StoreSettings) -> tuple[Store | None, Selection]:
    """The store, and the run that `selector` means there or among those that wait to be delivered to it.

    What waits is delivered first, if that can be done in a few seconds. A run that has a folder here is found by its
    id, its name and `@last` also where the store does not know it, has lost it, or does not answer.

    Raises:
        InputError: The store cannot be used, no run fits, or several do.
    """
    from cvexp.tracking.find import Selection, find
    from cvexp.tracking.local import local_runs
    from cvexp.tracking.pending import sync_quietly
    from cvexp.tracking.store import open_store

    sync_quietly(settings)
    waiting = local_runs(settings, only_unknown=True)
    try:
        store = open_store(settings, create=False)
        selection = find(store, selector)
    except InputError:
        here = local_runs(settings)
        if selector == "@last":
            fitting = here[:1]
        else:
            fitting = [run for run in here if selector == run.name or (selector and run.run_id.startswith(selector))]
        if len(fitting) != 1:
            raise
        return None, Selection(run=fitting[0])
    if selector == "@last" and waiting and waiting[0].started_at > selection.run.started_at:
        return store, Selection(run=waiting[0])
    return store, selection


def _from_run(selector: str, settings: StoreSettings, trusted_factory: str | None) -> Trained:
    from cvexp.tracking.artifacts import located
    from cvexp.tracking.find import artifact_folder, foreign

    store, selection = _select(selector, settings)
    if "cvexp.version" not in selection.run.tags:
        raise foreign(selection.run)
    run = located(store, selection.run)
    notes = [selection.note] if selection.note else []
    if run is not selection.run:
        notes.append(f"{selection.run.artifacts_uri} does not exist (was the folder moved?): read beside the store")
    from cvexp.export import load_spec, load_weights

    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        folder = artifact_folder(store, run, "weights", Path(scratch))
        spec = load_spec(folder)
        recorded = run.tags.get("cvexp.weights_sha256")
        model = load_weights(folder, spec, sha256=recorded, trusted_factory=trusted_factory)
    return Trained(
        model=model,
        spec=spec,
        name=run.name,
        run_id=run.run_id,
        run=run,
        store=store,
        settings=run.settings,
        metrics=run.metrics,
        device_name=run.tags.get("cvexp.device_name", ""),
        split_seed=_whole(run, "split_seed", least=0) or 0,
        limit=_whole(run, "limit", least=1),
        note="; ".join(notes) or None,
    )


def _whole(run: RunSummary, name: str, *, least: int) -> int | None:
    """A parameter of the run that is a whole number or `none`; whoever writes to the store may have written it.

    Raises:
        RunError: It is neither.
    """
    text = run.params.get(name, "none")
    if text == "none":
        return None
    if not (text.isascii() and text.isdigit() and least <= int(text[:LONGEST_NUMBER]) < 2**32):
        raise RunError(f"run {run.name} has the parameter {name}={shown(text)}", "train again: its split is not known")
    return int(text)
