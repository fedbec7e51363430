"""Whether a run may take the place of another one: it is better, or tied with it and faster."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.comparability import condition_groups
from cvexp.comparison.bench import bench_letters
from cvexp.comparison.evidence import gather, known_classes
from cvexp.comparison.figures import figure_of
from cvexp.comparison.groups import group_runs, labelled
from cvexp.results import Metric
from cvexp.stats import arms_verdict, verdict_text
from cvexp.stats.front import TIME_MARGIN
from cvexp.stats.verdicts import MARGIN, Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.evidence import Reader
    from cvexp.comparison.groups import Group
    from cvexp.runs import RunSummary
    from cvexp.stats import Verdict

LATENCY = Metric.LATENCY_MS.value


@dataclass(frozen=True, kw_only=True, slots=True)
class Promotion:
    """Whether a run takes the place of the present one, and why, in a sentence.

    Attributes:
        verdict: On the accuracy of the new run against the present one, never `these-two-only`.
        text: The verdict in a sentence, as `cvexp compare` says it.
        speed: Where the two are tied, what their latencies say.
    """

    moves: bool
    verdict: Kind
    text: str
    speed: str = ""


def judge_promotion(
    new: RunSummary,
    present: RunSummary,
    repeats: Sequence[RunSummary],
    reader: Reader,
    *,
    margin: float = MARGIN,
    by: str = "accuracy",
) -> Promotion:
    """Judge the new run against the present one, on the same test images.

    What is put in place are trained weights. Where both recipes have repeats, the verdict on recipes counts (see
    stats.verdicts), unless these very weights are shown to be worse. Otherwise it is the interval of the two trained
    models over new images: better where it is above 0, tied where its 90% limits are within the margin.

    Args:
        new: A finished run.
        present: Likewise.
        repeats: Further runs of their recipes.
        reader: Reads the per-image records.
        margin: A difference of accuracy below which two models are as good as equal, in [0, 1].
        by: A name of request.QUALITIES: which accuracy.
    """
    if new.test_set != present.test_set:
        why = f"{new.name} and {present.name} were measured on different test images, so neither is better"
        return Promotion(moves=False, verdict="cannot-tell", text=why)
    ours, theirs, weights = _judged([new, present], new, present, reader, margin=margin, by=by, together=False)
    if weights is None:
        what = f"one of the two runs has no test {by.replace('-', ' ')}"
        return Promotion(moves=False, verdict="cannot-tell", text=what)
    kind, text = _of_weights(weights), verdict_text(weights, ours.label, theirs.label)
    runs = {run.run_id: run for run in (new, present, *repeats) if run.test_set == new.test_set}
    a, b, recipes = _judged([*runs.values()], new, present, reader, margin=margin, by=by, together=True)
    if recipes is not None and recipes.kind != "these-two-only":
        if recipes.kind == "better" and kind == "worse":
            text = f"{a.label} is the better recipe, but not by this run: {text}"
        else:
            ours, theirs, kind, text = a, b, recipes.kind, verdict_text(recipes, a.label, b.label)
    if kind == "tied":
        is_faster, speed = _is_faster(ours, theirs)
        return Promotion(moves=is_faster, verdict=kind, text=text, speed=speed)
    return Promotion(moves=kind == "better", verdict=kind, text=text)


def _judged(
    runs: Sequence[RunSummary],
    new: RunSummary,
    present: RunSummary,
    reader: Reader,
    *,
    margin: float,
    by: str,
    together: bool,
) -> tuple[Group, Group, Verdict | None]:
    """The groups of the two runs, and the verdict between them; None where they are one group or lack an accuracy."""
    letters, _ = condition_groups(runs)
    by_run = dict(zip((run.run_id for run in runs), letters, strict=True))
    found = group_runs(runs, letters=by_run, bench_letters=bench_letters(runs)[0], repeats=together)
    groups = labelled(found, repeats=together)
    ours, theirs = (_group_of(run, groups) for run in (new, present))
    if ours is theirs:
        return ours, theirs, None
    arms = gather([ours, theirs], reader, split="test", by=by).arms
    if not {ours.label, theirs.label} <= arms.keys():
        return ours, theirs, None
    n_classes = known_classes([ours], reader)
    return ours, theirs, arms_verdict(arms[ours.label], arms[theirs.label], margin=margin, n_classes=n_classes)


def _group_of(run: RunSummary, groups: Sequence[Group]) -> Group:
    """The group with the run, or with a later run of its recipe and seed."""
    own = (group for group in groups if run.run_id in {one.run_id for one in group.runs})
    return next(own, None) or next(group for group in groups if group.recipe == run.recipe)


def _of_weights(verdict: Verdict) -> Kind:
    """What the interval of two trained models over new images says; with a collapsed one it is withheld."""
    low, high = verdict.difference.low, verdict.difference.high
    if low is None or high is None:
        return "cannot-tell"
    if low > 0 or high < 0:
        return "better" if low > 0 else "worse"
    return "tied" if verdict.is_negligible else "cannot-tell"


def _is_faster(ours: Group, theirs: Group) -> tuple[bool, str]:
    """Whether our latency is lower by more than the margin of times, and what is known of both, in words."""
    mine, other = ours.mean(LATENCY), theirs.mean(LATENCY)
    if mine is None or other is None:
        missing = ours if mine is None else theirs
        return False, f"the latency of {missing.label} was not measured: cvexp bench {missing.first.run_id[:12]}"
    if ours.is_busy(LATENCY) or theirs.is_busy(LATENCY):
        return False, "a latency was measured on a busy machine"
    if ours.conditions_of(LATENCY) != theirs.conditions_of(LATENCY):
        return False, "their latencies were measured under different conditions"
    said = figure_of(LATENCY).said
    both = f"{said(mine)} against {said(other)}"
    is_faster = mine < other * (1 - TIME_MARGIN)
    return is_faster, f"{'faster' if is_faster else 'not faster'}: {both} for one image"
