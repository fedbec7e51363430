"""The test images that one of two groups classifies correctly and the other does not, as a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cvexp.comparison.evidence import MAX_SEEDS, usable_records
from cvexp.errors import InputError
from cvexp.plots.gained_lost import SHOWN, ChangedImages, gained_and_lost

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt
    from matplotlib.figure import Figure

    from cvexp.comparison.evidence import Reader
    from cvexp.comparison.groups import Group
    from cvexp.comparison.pair import Pair
    from cvexp.comparison.tables import Table
    from cvexp.data.dataset import Dataset
    from cvexp.image_records import ImageRecords
    from cvexp.runs import RunSummary


def changed_images(
    pair: Pair, tables: Sequence[Table], evidence: Reader, *, data_dir: Path
) -> tuple[Figure | None, str]:
    """A picture of images gained and lost, or None and why there is none, in a sentence; empty without records.

    Of a group with several seeds, the prediction is that of most seeds. Images come first on which the groups' shares
    of seeds that are right differ most.
    """
    if not pair.n_images:
        return None, ""
    groups = {group.label: group for table in tables for group in table.groups}
    sides = [_records(groups[label], evidence) for label in (pair.a, pair.b)]
    first = groups[pair.a].first
    try:
        dataset = _dataset(first, data_dir)
    except InputError as error:
        return None, f"images gained and lost are not drawn: {error.what}"
    labels = sides[0][0].labels
    if not np.array_equal(dataset.test.labels.numpy(), labels):
        return None, f"images gained and lost are not drawn: {dataset.name} has other test images here"
    votes = [_votes(records, dataset.n_classes) for records in sides]
    gained, lost = (
        _changed(positions, votes, labels, dataset, right=right)
        for positions, right in ((pair.gained, 1), (pair.lost, 0))
    )
    title = f"{dataset.name}: images gained and lost"
    return gained_and_lost(gained, lost, names=(pair.a, pair.b), n_images=pair.n_images, title=title), ""


def _records(group: Group, evidence: Reader) -> list[ImageRecords]:
    runs = group.runs[:MAX_SEEDS]
    found = usable_records(runs, evidence, split="test").records
    return [found[run.run_id] for run in runs if run.run_id in found]


def _dataset(run: RunSummary, data_dir: Path) -> Dataset:
    """The run's dataset with its test images as the run had them.

    Raises:
        InputError: It cannot be had, or the run does not say how its images were chosen.
    """
    from cvexp.config.data import DataConfig
    from cvexp.config.option import validated
    from cvexp.data.dataset import load_dataset

    names = ("dataset", "image_size", "resize", "split_seed", "limit")
    stored = {name: run.params[name] for name in names if run.params.get(name, "none") != "none"}
    return load_dataset(validated(DataConfig, {"dataset": "", **stored}), data_dir)


def _votes(records: Sequence[ImageRecords], n_classes: int) -> npt.NDArray[np.int64]:
    """How many seeds predict each class, int64 (N, K)."""
    counts = np.zeros((len(records[0].labels), n_classes), dtype=np.int64)
    rows = np.arange(len(counts))
    for one in records:
        counts[rows, one.predicted] += 1
    return counts


def _changed(
    positions: npt.NDArray[np.int64],
    votes: Sequence[npt.NDArray[np.int64]],
    labels: npt.NDArray[np.int64],
    dataset: Dataset,
    *,
    right: int,
) -> ChangedImages:
    """The images at `positions`, those first that side `right` of the votes is surest of; 0 is A, 1 is B."""
    shares = [counts[positions, labels[positions]] / counts[positions].sum(axis=1) for counts in votes]
    order = np.argsort(shares[1 - right] - shares[right], kind="stable")
    chosen = positions[order][:SHOWN]
    names = dataset.class_names
    predicted = []
    for side, counts in enumerate(votes):
        others = counts[chosen].copy()
        if side != right:  # where as many seeds are right as predict another class, it is that class that is shown
            others[np.arange(len(chosen)), labels[chosen]] = 0
        predicted.append([names[k] for k in others.argmax(axis=1)])
    return ChangedImages(
        images=dataset.test.images.numpy()[chosen],
        truth=[names[k] for k in labels[chosen]],
        predicted_a=predicted[0],
        predicted_b=predicted[1],
        n=len(positions),
    )
