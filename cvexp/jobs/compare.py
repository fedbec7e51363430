"""Put runs side by side: how accurate, how fast, how large, which differences are more than luck, and which to ship."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.comparability import condition_groups, test_set_labels
from cvexp.comparison.analysis import Analysis, tables_of
from cvexp.comparison.bench import bench_letters
from cvexp.comparison.budget import read_budget
from cvexp.comparison.columns import choose_columns
from cvexp.comparison.pick import pick_of
from cvexp.comparison.request import Request, sort_key
from cvexp.errors import ConfigError
from cvexp.jobs.evidence import StoredEvidence
from cvexp.jobs.pair import pair
from cvexp.plots.comparison import Panel, accuracy_and_time
from cvexp.plots.files import check_path, save
from cvexp.plots.style import plain, shortened
from cvexp.results import Metric, rank
from cvexp.runs import RunSummary, differing_settings, settings_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cvexp.comparison.pair import Pair
    from cvexp.comparison.tables import Pick, Table
    from cvexp.settings import StoreSettings
    from cvexp.tracking.store import Store

LONGEST_SETTINGS = 32
MAX_DRAWN = 40
"""Runs whose names a picture can show."""

MAX_DRAWN_SETS = 8
SHOWN_EXPERIMENTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Runs in order, each with its test images and the letter of its conditions; and what they amount to.

    Attributes:
        runs: Sorted; by figures that were measured on test or validation images only within one test set.
        test_sets: For each run, the label of its test images; accuracies are comparable within one label only.
        best: Ids of the runs with the highest test accuracy of their test set.
        letters: For each run, the letter of its conditions; times are comparable within one letter only.
        differences: For each letter, what sets its conditions apart, in words; empty when there is one letter.
        notes: What to know about how the runs were chosen, and what the plot leaves out.
        sort: The metric they are sorted by, or `started`.
        tables: A table of groups for each test set.
        columns: Which columns the tables have: names of comparison.columns.TEXTS, and metric keys.
        columns_named: Whether the user chose each of them.
        captions: What has to be known to read any of the tables.
        pick: What was chosen under a budget, if a choice was asked for.
        pair: What sets the two groups apart, where exactly two were named.
    """

    runs: tuple[RunSummary, ...]
    test_sets: tuple[str, ...]
    best: frozenset[str]
    letters: tuple[str, ...]
    differences: Mapping[str, str]
    notes: tuple[str, ...]
    sort: str
    experiment: str
    plot: Path | None
    tables: tuple[Table, ...] = ()
    columns: tuple[str, ...] = ()
    columns_named: bool = False
    captions: tuple[str, ...] = ()
    pick: Pick | None = None
    pair: Pair | None = None


def run(
    selectors: Sequence[str],
    settings: StoreSettings,
    *,
    request: Request | None = None,
    plot: Path | None = None,
    tag: bool = False,
) -> Comparison:
    """Compare the selected runs (see tracking.queries), or all of the experiment's, and draw them to `plot`.

    With `tag`, each run that is placed gets the tag that says whether it is on the Pareto front.

    Raises:
        InputError: A selector, the filter, the order, the budget or the store cannot be used.
    """
    request = request or Request()
    if selectors and (request.where or request.last):
        raise ConfigError("runs are named and filtered at once", "either name runs, or use --where and --last")
    plot = None if plot is None else check_path(plot)
    from cvexp.tracking.front import tag_front
    from cvexp.tracking.recovery import recover
    from cvexp.tracking.store import open_store

    recover(settings)
    store = open_store(settings, create=False)
    runs, notes = _selected(store, selectors, request)
    first = runs[0].run_id if selectors else ""
    known = {metric for run in runs for metric in run.metrics}
    key = sort_key(request.sort, known, any_run=bool(runs))
    labels = test_set_labels(runs)
    runs.sort(key=lambda run: _position(run, key, labels[run.test_set]))
    analysis = _analysis(runs, store, request, sort=key, labels=labels)
    limits = read_budget(request.budget, analysis.known) if request.budget else ()
    tables, left_out = tables_of(runs, analysis)
    if tag:
        tag_front(store, tables)
    test_sets = tuple(labels[run.test_set] for run in runs)
    letters = tuple(analysis.letters[run.run_id] for run in runs)
    if selectors and len(tables) > 1:
        notes += ("no verdict between these: they were measured on different test images",)
    if plot is not None:
        notes += _draw(list(zip(runs, test_sets, letters, strict=True)), settings, plot)
    return Comparison(
        runs=tuple(runs),
        test_sets=test_sets,
        best=_best(runs),
        letters=letters,
        differences=analysis.differences,
        notes=notes,
        sort=key,
        experiment=settings.experiment,
        plot=plot,
        tables=tables,
        columns=analysis.columns,
        columns_named=request.columns is not None,
        captions=left_out,
        pick=pick_of(tables, limits, analysis) if request.picks else None,
        pair=pair(tables, analysis.evidence, first=first) if selectors else None,
    )


def _analysis(
    runs: Sequence[RunSummary], store: Store, request: Request, *, sort: str, labels: Mapping[str, str]
) -> Analysis:
    """What the tables are made from besides the runs, which are in order."""
    letters, differences = condition_groups(runs)
    bench, bench_differences = bench_letters(runs)
    known = frozenset(metric for run in runs for metric in run.metrics)
    return Analysis(
        sort=sort,
        columns=choose_columns(request.columns, request.view, known),
        known=known,
        labels=labels,
        letters=dict(zip((run.run_id for run in runs), letters, strict=True)),
        differences=differences,
        bench_letters=bench,
        bench_differences=bench_differences,
        request=request,
        evidence=StoredEvidence(store, request),
    )


def _selected(store: Store, selectors: Sequence[str], request: Request) -> tuple[list[RunSummary], tuple[str, ...]]:
    """The runs that are named or found, each once, and what to know about how they were chosen."""
    from cvexp.tracking.queries import find, search

    if selectors:
        selections = [find(store, selector) for selector in selectors]
        runs = list({s.run.run_id: s.run for s in selections}.values())
        return runs, tuple(dict.fromkeys(s.note for s in selections if s.note))
    runs = search(store, where=request.where, last=request.last)
    return runs, () if runs or store.settings.experiment_named else _other_experiments(store)


def _other_experiments(store: Store) -> tuple[str, ...]:
    """Which experiments have runs, where the default one was asked and has none."""
    from cvexp.tracking.queries import runs_by_experiment

    counts = runs_by_experiment(store)
    experiment = store.settings.experiment
    if not counts or experiment in counts:
        return ()
    listed = [f"{name} ({n:,} run{'' if n == 1 else 's'})" for name, n in list(counts.items())[:SHOWN_EXPERIMENTS]]
    more = f" and {len(counts) - len(listed)} more" if len(counts) > len(listed) else ""
    return (
        f"experiment {experiment} has no runs; there are some in: {', '.join(listed)}{more}",
        f"see them: {store.settings.command('compare', '--experiment', next(iter(counts)))}",
    )


def _position(run: RunSummary, key: str, test_set: str) -> tuple[str, tuple[int, float], float]:
    """The sort key: the best first, NaN and runs without the figure last, the latest first among equals.

    Figures measured on test or validation images are ranked within one test set.
    """
    started = run.started_at.timestamp()
    if key == "started":
        return "", (0, -started), 0.0
    return test_set if _measured_on_images(key) else "", rank(run.metrics, key), -started


def _measured_on_images(key: str) -> bool:
    return key.startswith(("test/", "val/"))


def _best(runs: Sequence[RunSummary]) -> frozenset[str]:
    """The run with the highest test accuracy of each test set, if any is a number; the first among equals."""
    best: dict[str, RunSummary] = {}
    for run in sorted(runs, key=lambda run: rank(run.metrics, Metric.TEST_ACCURACY)):
        if not math.isnan(run.metrics.get(Metric.TEST_ACCURACY, math.nan)):
            best.setdefault(run.test_set, run)
    return frozenset(run.run_id for run in best.values())


def _draw(rows: Sequence[tuple[RunSummary, str, str]], settings: StoreSettings, path: Path) -> tuple[str, ...]:
    """Draw the runs that have figures, the best of each test set by name, and say what the picture leaves out."""
    sets: dict[str, list[tuple[RunSummary, str]]] = {}
    for run, test_set, group in rows:
        figures = [run.metrics.get(key, math.nan) for key in (Metric.TEST_ACCURACY, Metric.TRAIN_SECONDS)]
        if all(map(math.isfinite, figures)):
            sets.setdefault(test_set, []).append((run, group))
    if not sets:
        raise ConfigError("there is no finished run to draw", f"train one first: {settings.command('train', 'linear')}")
    drawn = dict(sorted(sets.items(), key=lambda pair: -len(pair[1]))[:MAX_DRAWN_SETS])
    share = MAX_DRAWN // len(drawn)
    panels = []
    for test_set, members in sorted(drawn.items()):
        members.sort(key=lambda pair: rank(pair[0].metrics, Metric.TEST_ACCURACY))
        named = members[:share]
        differing = differing_settings([run for run, _ in named])
        panels.append(
            Panel(
                title=plain(test_set) if len(drawn) > 1 else "",
                names=[_label(run, differing) for run, _ in named],
                accuracies=[run.metrics[Metric.TEST_ACCURACY] for run, _ in members],
                train_seconds=[run.metrics[Metric.TRAIN_SECONDS] for run, _ in members],
                groups=[group for _, group in members],
            )
        )
    save(accuracy_and_time(panels), path)
    n_named, drawable = sum(len(panel.names) for panel in panels), sum(map(len, sets.values()))
    notes = []
    if len(sets) > len(drawn):
        notes.append(f"the picture shows {len(drawn)} of {len(sets):,} test sets, those with the most runs")
    if n_named < drawable:
        notes.append(
            f"the picture names the most accurate {n_named:,} of {drawable:,} runs; compare fewer with --where"
        )
    return tuple(notes)


def _label(run: RunSummary, names: Sequence[str]) -> str:
    """A run's name, and below it the settings that set it apart, where they are few."""
    settings = settings_of(run, names)
    name = shortened(run.name)
    return f"{name}\n{plain(settings)}" if 0 < len(settings) <= LONGEST_SETTINGS else name
