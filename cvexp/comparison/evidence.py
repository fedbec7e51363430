"""What is known of the groups of a table image by image, as arms for the statistics."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cvexp.comparison.groups import seed_of
from cvexp.comparison.request import QUALITIES
from cvexp.errors import RunError
from cvexp.image_records import check_same_images
from cvexp.stats import Arm, class_weights

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from cvexp.comparison.groups import Group
    from cvexp.comparison.request import Split
    from cvexp.image_records import ImageRecords
    from cvexp.runs import RunSummary

ACCURACY = QUALITIES["accuracy"]
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

    def class_names(self, run: RunSummary) -> tuple[str, ...]:
        """The classes of the run's dataset in label order; none where they are not known."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Usable:
    """Records by run id, all of the same images, and why others were not used, in sentences."""

    records: Mapping[str, ImageRecords]
    reasons: tuple[str, ...] = ()


def usable_records(runs: Sequence[RunSummary], reader: Reader, *, split: Split) -> Usable:
    """The runs' records that agree with their accuracies and are of the images that the first ones are of."""
    found: dict[str, ImageRecords] = {}
    reasons: dict[str, None] = {}
    for run in runs:
        records, why = reader.records(run, split)
        if records is not None:
            why = _unusable(run, records, next(iter(found.values()), None), split)
        if why:
            reasons[why] = None
        elif records is not None:
            found[run.run_id] = records
    return Usable(records=found, reasons=tuple(reasons))


def gather(
    groups: Sequence[Group], reader: Reader, *, split: Split, recorded: bool = True, by: str = "accuracy"
) -> Evidence:
    """The arms of the groups that have accuracies on a split; without `recorded`, no per-image records are read.

    A group has `correct` where every one of its seeds has usable records. By `balanced-accuracy` their images have the
    weights of their classes; groups without records need that figure, which early versions did not measure.
    """
    arms: dict[str, Arm] = {}
    unrecorded: list[str] = []
    reasons: dict[str, None] = {}
    first: RunSummary | None = None
    for group in groups:
        runs = [run for run in group.runs if math.isfinite(run.metrics.get(ACCURACY[split], math.nan))][:MAX_SEEDS]
        if not runs:
            continue
        # Of one group at a time, and the first run as the reference: log-probabilities of all of them take much memory.
        asked = [*([first] if first else []), *runs] if recorded else []
        usable = usable_records(asked, reader, split=split)
        rows = [usable.records[run.run_id].correct for run in runs if run.run_id in usable.records]
        complete = len(rows) == len(runs)
        first = first or (runs[0] if complete else None)
        reasons |= dict.fromkeys(usable.reasons)
        if not complete:
            unrecorded.append(group.label)
        key = QUALITIES[by][split]
        if not complete and not all(math.isfinite(run.metrics.get(key, math.nan)) for run in runs):
            continue
        weights = class_weights(usable.records[runs[0].run_id].labels) if complete and key != ACCURACY[split] else None
        arms[group.label] = _arm(group.label, runs, np.stack(rows) if complete else None, weights=weights, key=key)
    return Evidence(arms=arms, unrecorded=tuple(unrecorded), reasons=tuple(reasons))


def _arm(
    label: str,
    runs: Sequence[RunSummary],
    correct: npt.NDArray[np.bool_] | None,
    *,
    weights: npt.NDArray[np.float64] | None,
    key: str,
) -> Arm:
    found = [seed_of(run) for run in runs]
    seeds = [seed for seed in found if seed is not None]
    known = None if len(seeds) < len(runs) else seeds
    if correct is not None:
        return Arm(name=label, correct=correct, weights=weights, seeds=known)
    return Arm(name=label, accuracies=[min(1.0, max(0.0, run.metrics[key])) for run in runs], seeds=known)


def _unusable(run: RunSummary, records: ImageRecords, reference: ImageRecords | None, split: Split) -> str:
    """Why the records of a run cannot be joined with those of others, in words; empty where they can."""
    accuracy = run.metrics.get(ACCURACY[split], math.nan)
    if not abs(float(records.correct.mean()) - accuracy) <= TOLERANCE:
        return f"the records of run {run.name} have accuracy {records.correct.mean():.2%}, and the run {accuracy:.2%}"
    if reference is not None:
        try:
            check_same_images(reference, records)
        except RunError as error:
            return f"the records of run {run.name} cannot be joined: {error.what}"
    return ""


def known_classes(groups: Sequence[Group], reader: Reader) -> int | None:
    """How many classes the groups' dataset has; None where that is not known, or where it is one."""
    n_classes = len(reader.class_names(groups[0].first)) if groups else 0
    return n_classes if n_classes > 1 else None
