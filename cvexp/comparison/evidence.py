"""What is known of the groups of a table image by image, as arms for the statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

from cvexp.errors import RunError
from cvexp.image_records import check_same_images
from cvexp.results import Metric
from cvexp.stats import Arm

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.comparison.groups import Group
    from cvexp.image_records import ImageRecords
    from cvexp.runs import RunSummary

Split = Literal["val", "test"]
ACCURACY: dict[Split, str] = {"val": Metric.VAL_ACCURACY.value, "test": Metric.TEST_ACCURACY.value}
MAX_SEEDS = 20
"""Of a group, whose per-image records are read."""

TOLERANCE = 0.005
"""Of accuracy: records that differ more from the run's own figure are of other weights."""

SHOWN_NAMES = 3


class Reader(Protocol):
    """Reads what a comparison needs of runs besides their figures."""

    def records(self, run: RunSummary, split: Split) -> tuple[ImageRecords | None, str]:
        """The per-image records of a run, or None and why they cannot be read; empty where it has none."""
        ...

    def n_classes(self, run: RunSummary) -> int | None:
        """How many classes the run's dataset has, if that is known."""
        ...

    def at_epoch(self, runs: Sequence[RunSummary]) -> list[RunSummary]:
        """The runs with the figures of the epoch that is compared."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """Groups as arms, by label; the labels of those without per-image records, and why records were not used."""

    arms: Mapping[str, Arm]
    unrecorded: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    @property
    def names(self) -> str:
        """The groups without records, as a list in a sentence."""
        listed = ", ".join(self.unrecorded[:SHOWN_NAMES])
        more = len(self.unrecorded) - SHOWN_NAMES
        return f"{listed} and {more} more" if more > 0 else listed


def gather(groups: Sequence[Group], reader: Reader, *, split: Split, recorded: bool = True) -> Evidence:
    """The arms of the groups that have accuracies on a split; without `recorded`, no per-image records are read.

    A group has `correct` where every one of its seeds has usable records of the same images as the others.
    """
    arms: dict[str, Arm] = {}
    unrecorded, reasons = [], []
    reference: ImageRecords | None = None
    for group in groups:
        runs = [run for run in group.runs if math.isfinite(run.metrics.get(ACCURACY[split], math.nan))][:MAX_SEEDS]
        if not runs:
            continue
        rows = []
        for run in runs if recorded else ():
            records, why = reader.records(run, split)
            if records is not None:
                why = _unusable(run, records, reference, split)
                reference = reference or (None if why else records)
            if records is None or why:
                reasons += [why] if why else []
                break
            rows.append(records.correct)
        complete = len(rows) == len(runs)
        if not complete:
            unrecorded.append(group.label)
        arms[group.label] = _arm(group.label, runs, np.stack(rows) if complete else None, split)
    return Evidence(arms=arms, unrecorded=tuple(unrecorded), reasons=tuple(dict.fromkeys(reasons)))


def _arm(label: str, runs: Sequence[RunSummary], correct: np.ndarray[tuple[int, int], np.dtype[np.bool_]] | None, split: Split) -> Arm:
    from cvexp.comparison.groups import seed_of

    found = [seed_of(run) for run in runs]
    seeds = [seed for seed in found if seed is not None]
    accuracies = [min(1.0, max(0.0, run.metrics[ACCURACY[split]])) for run in runs]
    return Arm(name=label, correct=correct, accuracies=accuracies, seeds=seeds if len(seeds) == len(runs) else None)


def _unusable(run: RunSummary, records: ImageRecords, reference: ImageRecords | None, split: Split) -> str:
    """Why the records of a run cannot be joined with those of others, in words; empty where they can."""
    accuracy = run.metrics[ACCURACY[split]]
    if abs(float(records.correct.mean()) - accuracy) > TOLERANCE:
        return f"the records of run {run.name} have accuracy {records.correct.mean():.2%}, and the run {accuracy:.2%}"
    if reference is not None:
        try:
            check_same_images(reference, records)
        except RunError as error:
            return f"the records of run {run.name} cannot be joined: {error.what}"
    return ""
