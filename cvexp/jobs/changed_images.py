"""The test images that one of two groups classifies correctly and the other does not, as a picture."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cvexp.comparison.evidence import MAX_SEEDS, usable_records
from cvexp.comparison.pair import named_pair
from cvexp.errors import DatasetError, InputError
from cvexp.plots.files import as_png
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
    from cvexp.jobs.compare import Comparison
    from cvexp.runs import RunSummary

NO_RECORDS = "Images gained and lost need per-image predictions of both; add them: cvexp evaluate RUN --store"


@dataclass(frozen=True, kw_only=True, slots=True)
class Deciding:
    """The images that group `b` gained and lost against group `a` as a PNG, or why there is none, in a sentence."""

    a: str
    b: str
    png: bytes = b""
    why: str = ""


def deciding_images(comparison: Comparison, *, data_dir: Path) -> Deciding | None:
    """The images gained and lost between the two groups that decide; None where there are no two on one test set.

    They are the two that were named, else the pick and the group it was chosen against, else the two most accurate.
    """
    found = _deciding(comparison)
    if found is None:
        return None
    table, label_a, label_b = found
    groups = {group.label: group for group in table.groups}
    two = [replace(table, groups=(groups[label_a], groups[label_b]), n_left_out=0)]
    evidence = comparison.analysis.evidence
    sides = named_pair(two, evidence, first=groups[label_a].first.run_id)
    figure, why = (None, "") if sides is None else changed_images(sides, two, evidence, data_dir=data_dir)
    if figure is None:
        return Deciding(a=label_a, b=label_b, why=f"{why[0].upper()}{why[1:]}." if why else f"{NO_RECORDS}.")
    return Deciding(a=label_a, b=label_b, png=as_png(figure))


def _deciding(comparison: Comparison) -> tuple[Table, str, str] | None:
    """The table of the two groups that decide, and their labels."""
    if len(comparison.tables) == 1 and comparison.pair is not None:
        return comparison.tables[0], comparison.pair.a, comparison.pair.b
    if comparison.pick is not None:
        pick = comparison.pick
        return (comparison.tables[0], pick.rival, pick.label) if pick.label and pick.rival else None
    judged = [(table, table.verdicts[0]) for table in comparison.tables if table.verdicts]
    return (judged[0][0], judged[0][1].b, judged[0][1].a) if judged else None


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
        InputError: It is not on this machine, or the run does not say how its images were chosen.
    """
    from cvexp.config.data import DataConfig
    from cvexp.config.option import validated
    from cvexp.data.dataset import load_dataset
    from cvexp.data.named import locate
    from cvexp.data.registry import find_spec

    names = ("dataset", "image_size", "resize", "split_seed", "limit")
    stored = {name: run.params[name] for name in names if run.params.get(name, "none") != "none"}
    config = validated(DataConfig, {"dataset": "", **stored})
    if locate(config.dataset, data_dir) is None and not find_spec(config.dataset).source.find(data_dir):
        raise DatasetError(f"{config.dataset} is not on this machine")
    return load_dataset(config, data_dir)


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
