"""Add per-image records to a run that has none, such as a run of a version that did not store them."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, GateError, RunError
from cvexp.image_records import write_records
from cvexp.jobs.logged import agree
from cvexp.text import shown
from cvexp.training.outputs import outputs_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.data.dataset import Dataset
    from cvexp.image_records import ImageRecords
    from cvexp.inference.predictor import Predictor
    from cvexp.jobs.source import TrainedModel
    from cvexp.results import HeldOutName
    from cvexp.runs import RunSummary


def check_storable(trained: TrainedModel, *, dataset_name: str | None) -> None:
    """Refuse what can have no records; ConfigError says why."""
    if trained.run is None:
        raise ConfigError(f"--store adds files to a run, and {trained.name} is none", "name its run instead")
    if trained.store is None:
        raise ConfigError(f"run {trained.name} is not in the store yet", "deliver it first: cvexp sync")
    if dataset_name is not None:
        raise ConfigError("--store goes without --dataset", "a run's records are of the images it was measured on")


def val_split(trained: TrainedModel) -> float:
    """The fraction of the training images that the run set aside for validation; RunError if it says no number."""
    text = trained.card.settings.get("val_split", "0")
    try:
        fraction = float(text)
    except ValueError:
        fraction = -1.0
    if not 0 <= fraction < 1:
        raise RunError(
            f"run {trained.name} has the parameter val_split={shown(text)}", "train again: its split is not known"
        )
    return fraction


def add_missing(
    trained: TrainedModel, predictor: Predictor, dataset: Dataset, test: ImageRecords
) -> tuple[HeldOutName, ...]:
    """Store the records that the run lacks, or has damaged, and give the names of their splits.

    `test` are those of the test split; `predictor` gives the logits of the validation split, if `dataset` has one.

    Raises:
        GateError: The validation split's figures are not those that the run logged; nothing is stored.
        StoreError: They cannot be stored.
    """
    from cvexp.tracking.artifacts import add_file, located
    from cvexp.tracking.predictions import FOLDER, stored_records

    run, store = trained.run, trained.store
    assert run is not None  # noqa: S101 - see check_storable
    assert store is not None  # noqa: S101
    names: tuple[HeldOutName, ...] = ("test",) if dataset.val is None else ("val", "test")
    missing = tuple(name for name in names if stored_records(store, run, name)[0] is None)
    found = {name: test if name == "test" else _validation(trained, predictor, dataset, run) for name in missing}
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        for name, records in found.items():
            file = Path(scratch) / f"{name}.parquet"
            write_records(file, records)
            add_file(store, located(store, run), file, name=f"{FOLDER}/{file.name}")
    return missing


def add_untested(trained: TrainedModel, figures: Mapping[str, float]) -> None:
    """Log figures on the test images that the run does not have, as one that was trained without them.

    Raises:
        StoreError: They cannot be written.
    """
    from cvexp.tracking.figures import add_figures

    run, store = trained.run, trained.store
    if run is not None and store is not None and (new := {k: v for k, v in figures.items() if k not in run.metrics}):
        made = replace(outputs_of(run.tags), test=True)
        add_figures(store, run, new, tags=made.tags(run.tags))


def _validation(trained: TrainedModel, predictor: Predictor, dataset: Dataset, run: RunSummary) -> ImageRecords:
    """The records of the validation split, checked against what the run logged of it."""
    from cvexp.inference.evaluate import score
    from cvexp.inference.per_image import image_records

    split, card = dataset.held_out("val"), trained.card
    logits = predictor.logits(split.images).t()
    measured = score(logits, split.labels, class_names=dataset.class_names).metrics.keyed("val")
    logged = {key: run.metrics[key] for key in measured if key in run.metrics}
    if not agree(measured, logged):
        raise GateError(
            f"{trained.name} does not give the validation figures it logged, so no records are stored",
            f"now {measured}; logged {logged}",
        )
    return image_records(logits, dataset, "val", split_seed=card.split_seed, limit=card.limit)
