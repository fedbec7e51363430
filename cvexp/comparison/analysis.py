"""From runs to tables: groups of each test set, their front, and verdicts between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvexp.comparability import condition_groups, test_set_labels
from cvexp.comparison.bench import bench_letters
from cvexp.comparison.budget import read_budget
from cvexp.comparison.captions import captions_of
from cvexp.comparison.columns import choose_columns
from cvexp.comparison.evidence import Reader, gather, known_classes
from cvexp.comparison.exports import with_exports
from cvexp.comparison.figures import figure_of
from cvexp.comparison.front import front_of, objectives_of
from cvexp.comparison.groups import Group, best_first, group_runs, labelled
from cvexp.comparison.request import LAST, Request, sort_key
from cvexp.comparison.tables import Table
from cvexp.comparison.verdicts import judge
from cvexp.errors import ConfigError
from cvexp.results import Metric, rank
from cvexp.stats import collapsed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.comparison.budget import Limit
    from cvexp.runs import RunSummary

SHOWN_GROUPS = 50
"""Of a table; the best by its order."""

SHOWN_TABLES = 8
COMPARED_GROUPS = 12
"""Of a table, whose per-image records are read and that get a verdict: the most accurate."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Analysis:
    """What tables are made from; see `analyse`.

    Attributes:
        runs: Sorted; by figures that were measured on test or validation images only within one test set.
        entries: The same with their exported files behind them, if those were asked for.
        sort: A metric's key, or `started`.
        columns: Of the tables.
        limits: The budget.
        labels: Of the runs' test sets.
        letters: Of the conditions of training times, by run id.
        differences: What each letter's conditions are.
        bench_letters: Of the conditions of latencies, by run id.
        bench_differences: What each capital letter's conditions are.
        request: What was asked for.
        evidence: Reads records and histories.
    """

    runs: tuple[RunSummary, ...]
    entries: tuple[RunSummary, ...]
    sort: str
    columns: tuple[str, ...]
    limits: tuple[Limit, ...]
    labels: Mapping[str, str]
    letters: Mapping[str, str]
    differences: Mapping[str, str]
    bench_letters: Mapping[str, str]
    bench_differences: Mapping[str, str]
    request: Request
    evidence: Reader


def analyse(runs: Sequence[RunSummary], request: Request, evidence: Reader) -> Analysis:
    """Sort the runs, and find out what sets the conditions apart under which they were measured.

    Raises:
        ConfigError: The order, a column or the budget cannot be used; what is valid is named.
    """
    known: set[str] = set()
    for run in with_exports(runs) if request.exports else runs:
        if not known >= run.metrics.keys():
            known |= run.metrics.keys()
    key = sort_key(request.sort or request.by, known, any_run=bool(runs))
    labels = test_set_labels(runs)
    ordered = tuple(sorted(runs, key=lambda run: _position(run, key, labels[run.test_set])))
    entries = tuple(with_exports(ordered)) if request.exports else ordered
    letters, differences = condition_groups(entries)
    bench, bench_differences = bench_letters(entries)
    return Analysis(
        runs=ordered,
        entries=entries,
        sort=key,
        columns=choose_columns(request.columns, request.view, known, redundant=_redundant(runs, request)),
        limits=read_budget(request.budget, known) if request.budget else (),
        labels=labels,
        letters=dict(zip((entry.run_id for entry in entries), letters, strict=True)),
        differences=differences,
        bench_letters=bench,
        bench_differences=bench_differences,
        request=request,
        evidence=evidence,
    )


def _redundant(runs: Sequence[RunSummary], request: Request) -> tuple[str, ...]:
    """Balanced accuracy, where it says of every run what its accuracy says, as on classes of nearly the same size."""
    accuracy, balanced = Metric.TEST_ACCURACY.value, Metric.TEST_BALANCED_ACCURACY.value
    pairs = ((run.metrics.get(accuracy), run.metrics.get(balanced)) for run in runs)
    differs = any(a is not None and b is not None and abs(a - b) > request.margin for a, b in pairs)
    return () if differs or request.is_balanced else (balanced,)


def _position(run: RunSummary, key: str, test_set: str) -> tuple[str, tuple[int, float], float]:
    """The sort key: the best first, NaN and runs without the figure last, the latest first among equals."""
    started = run.started_at.timestamp()
    if key == "started":
        return "", (0, -started), 0.0
    return test_set if key.startswith(("test/", "val/")) else "", rank(run.metrics, key), -started


def tables_of(analysis: Analysis) -> tuple[tuple[Table, ...], tuple[str, ...]]:
    """A table for each test set, in the order of their labels, and what is left out, in sentences."""
    sets: dict[str, list[RunSummary]] = {}
    for run in analysis.entries:
        sets.setdefault(analysis.labels[run.test_set], []).append(run)
    shown = sorted(sorted(sets, key=lambda label: -len(sets[label]))[:SHOWN_TABLES])
    captions = []
    if len(sets) > 1:
        captions.append("Accuracies may be ranked within one test set only; the best of each is bold.")
    if len(sets) > len(shown):
        captions.append(
            f"{len(shown)} of {len(sets):,} test sets shown, those with the most runs (--json has all runs)."
        )
    return tuple(_table(label, sets[label], analysis) for label in shown), tuple(captions)


def _table(test_set: str, runs: Sequence[RunSummary], analysis: Analysis) -> Table:
    every = _ordered(runs, analysis)
    shown = every[:SHOWN_GROUPS]
    if analysis.request.at != LAST:
        shown = _ordered(_at_epoch([run for group in shown for run in group.runs], analysis), analysis)
    shown = labelled(shown, repeats=analysis.request.repeats)
    shown = [_with_collapsed(group, analysis.evidence) for group in shown]
    finished = [group for group in shown if group.is_finished]
    trained = [group for group in finished if not group.first.export]  # a file has its verdict from `cvexp export`
    by, quality = analysis.request.by, analysis.request.quality("test")
    compared = best_first(trained, quality)[:COMPARED_GROUPS]
    n_classes, margin = known_classes(compared, analysis.evidence), analysis.request.margin
    recorded = len(compared) > 1 and analysis.request.at == LAST
    evidence = gather(compared, analysis.evidence, split="test", recorded=recorded, by=by)
    rest = [group for group in finished if group.label not in evidence.arms]
    arms = {**evidence.arms, **gather(rest, analysis.evidence, split="test", recorded=False, by=by).arms}
    known = sorted({key for group in shown for key in group.keys})
    objectives = objectives_of(finished, analysis.request.objectives, known, quality=quality)
    front = front_of(finished, objectives, arms, margin=margin, n_classes=n_classes, quality=quality)
    judged = judge(
        evidence,
        request=analysis.request,
        n_classes=n_classes,
        n_others=sum(group.is_finished and not group.first.export for group in every) - len(compared),
    )
    best = next((group.label for group in compared if math.isfinite(group.mean(quality) or math.nan)), "")
    n_left_out = len(every) - len(shown)
    return Table(
        test_set=test_set,
        groups=tuple(shown),
        n_left_out=n_left_out,
        best=best,
        front=front,
        contenders=judged.contenders,
        verdicts=judged.verdicts,
        sentences=judged.sentences,
        captions=captions_of(shown, front, analysis, n_left_out=n_left_out),
        arms=arms,
        n_classes=n_classes,
        margin=margin,
        quality=quality,
    )


def _ordered(runs: Sequence[RunSummary], analysis: Analysis) -> list[Group]:
    groups = group_runs(
        runs, letters=analysis.letters, bench_letters=analysis.bench_letters, repeats=analysis.request.repeats
    )
    return best_first(groups, analysis.sort)


def _at_epoch(runs: Sequence[RunSummary], analysis: Analysis) -> list[RunSummary]:
    """The runs with the figures of the epoch that was asked for.

    Raises:
        ConfigError: None of them has any.
    """
    found = analysis.evidence.at_epoch(runs)
    if not any(key.startswith("train/") or figure_of(key).on_images for run in found for key in run.metrics):
        at = analysis.request.at
        raise ConfigError(
            f"--at {at}: no run here has figures of {'its epochs' if at == 'best' else f'epoch {at}'}", "see: --at last"
        )
    return found


def _with_collapsed(group: Group, reader: Reader) -> Group:
    """The group with its collapsed seeds counted, where repeats and the number of classes are known."""
    values = [run.metrics[Metric.TEST_ACCURACY] for run in group.runs if Metric.TEST_ACCURACY in run.metrics]
    n_classes = known_classes([group], reader) if len(values) > 1 else None
    return group if n_classes is None else replace(group, n_collapsed=sum(collapsed(values, n_classes)))
