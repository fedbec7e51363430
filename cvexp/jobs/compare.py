"""Put runs side by side: how accurate, how fast, how large, which differences are more than luck, and which to ship."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from cvexp.comparison.analysis import analyse, tables_of
from cvexp.comparison.exports import n_exported
from cvexp.comparison.pair import named_pair
from cvexp.comparison.pick import pick_of
from cvexp.comparison.request import Request
from cvexp.errors import ConfigError
from cvexp.jobs.changed_images import changed_images
from cvexp.jobs.drawing import draw
from cvexp.jobs.evidence import StoredEvidence
from cvexp.plots.files import check_path, save
from cvexp.runs import SWEEP, is_trial
from cvexp.settings import data_dir as resolve_data_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cvexp.comparison.analysis import Analysis
    from cvexp.comparison.pair import Pair
    from cvexp.comparison.tables import Pick, Table
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.rows import Fields
    from cvexp.tracking.store import Store

SHOWN_EXPERIMENTS = 5
ASKED_AGAIN = 250  # runs of a report that a server is asked for again: half a second
NOT_COMPARED = (
    *("mlflow.note.content", "mlflow.runName", "mlflow.user", "mlflow.source.name", "mlflow.source.type"),
    *("cvexp.command", "cvexp.local_id", "cvexp.weights_sha256"),
)
"""Tags that every run has, and that no report of many runs shows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Runs side by side, and what they amount to.

    Attributes:
        analysis: The runs in order, their test images and conditions.
        best: Ids of the runs with the highest test accuracy of their test set.
        notes: What to know about how the runs were chosen, and what the plot leaves out.
        tables: A table of groups for each test set.
        captions: What has to be known to read any of the tables.
        pick: What was chosen under a budget, if a choice was asked for.
        pair: What sets the two groups apart, where exactly two were named.
        data_dir: Where their datasets are looked for.
    """

    analysis: Analysis
    best: frozenset[str]
    notes: tuple[str, ...]
    experiment: str
    plot: Path | None
    tables: tuple[Table, ...]
    captions: tuple[str, ...]
    pick: Pick | None
    pair: Pair | None
    data_dir: Path

    @property
    def runs(self) -> tuple[RunSummary, ...]:
        """All of them, in order."""
        return self.analysis.runs


def run(
    selectors: Sequence[str], settings: StoreSettings, *, request: Request | None = None, plot: Path | None = None
) -> Comparison:
    """Compare the selected runs (see tracking.queries), or all of the experiment's, and draw them to `plot`.

    Raises:
        InputError: A selector, the filter, the order, the budget or the store cannot be used.
    """
    request = request or Request()
    if selectors and (request.where or request.last):
        raise ConfigError("runs are named and filtered at once", "either name runs, or use --where and --last")
    plot = None if plot is None else check_path(plot)
    from cvexp.tracking.recovery import recover
    from cvexp.tracking.store import open_store

    recover(settings)
    store = open_store(settings, create=False)
    found, notes = _selected(store, selectors, request)
    data_dir = resolve_data_dir(settings.flags.data_dir)
    evidence = StoredEvidence(store, request, data_dir)
    analysis = analyse(found, request, evidence)
    tables, left_out = tables_of(analysis)
    if not (selectors or request.where or request.last) and (others := _named_again(store, tables)):
        found = [others.get(run.run_id, run) or run for run in found if others.get(run.run_id, run) is not None]
        analysis = analyse(found, request, evidence)
        tables, left_out = tables_of(analysis)
    sides = named_pair(tables, analysis.evidence, first=found[0].run_id) if selectors else None
    if selectors and len(tables) > 1:
        notes += ("no verdict between these: they were measured on different test images",)
    if not request.exports and (n := n_exported(found)):
        notes += (f"{n:,} of these have exported files that were timed: see them with --exports",)
    if plot is not None:
        notes += draw(tables, settings, plot)
        notes += _draw_changes(sides, tables, analysis, plot, data_dir=data_dir)
    return Comparison(
        analysis=analysis,
        best=_best(analysis.runs, request.quality("test")),
        notes=notes,
        experiment=settings.experiment,
        plot=plot,
        tables=tables,
        captions=left_out,
        pick=pick_of(tables, analysis),
        pair=sides,
        data_dir=data_dir,
    )


def _draw_changes(
    sides: Pair | None, tables: Sequence[Table], analysis: Analysis, plot: Path, *, data_dir: Path
) -> tuple[str, ...]:
    """Draw the images that two groups do not have in common beside `plot`, and say where, or why not."""
    if sides is None:
        return ()
    figure, why = changed_images(sides, tables, analysis.evidence, data_dir=data_dir)
    if figure is None:
        return (why,) if why else ()
    beside = check_path(plot.with_stem(f"{plot.stem}-images"))
    save(figure, beside)
    return (f"images gained and lost drawn to {beside}",)


def _selected(store: Store, selectors: Sequence[str], request: Request) -> tuple[list[RunSummary], tuple[str, ...]]:
    """The runs that are named or found, each once, and what to know about how they were chosen."""
    from cvexp.tracking.queries import find, search
    from cvexp.tracking.rows import Fields

    if selectors:
        selections = [find(store, selector) for selector in selectors]
        runs = list({s.run.run_id: s.run for s in selections}.values())
        return runs, tuple(dict.fromkeys(s.note for s in selections if s.note))
    fields = Fields(but_tags=NOT_COMPARED)
    if request.where:
        return search(store, where=request.where, last=request.last, fields=fields), ()
    runs, n_trials = _but_trials(partial(_found, store, fields), request.last)
    if n_trials:
        listing = store.settings.command("compare", "--where", f"tags.`{SWEEP}` != ''")
        return runs, (f"{n_trials:,} trials of sweeps, without test figures, are left out: {listing}",)
    return runs, () if runs or store.settings.experiment_named else _other_experiments(store)


def _found(store: Store, fields: Fields, last: int | None) -> list[RunSummary]:
    """The newest runs, or all of them; only the latter are worth a cache."""
    from cvexp.tracking.cached import search_cached
    from cvexp.tracking.queries import search

    return search_cached(store, fields) if last is None else search(store, last=last, fields=fields)


def _but_trials(find: Callable[..., list[RunSummary]], last: int | None) -> tuple[list[RunSummary], int]:
    """The `last` runs that `find` finds, or all of them, without trials of sweeps, and how many of these there were."""
    asked = last
    while True:
        found = find(asked)
        runs = [run for run in found if not is_trial(run)]
        if last is None or asked is None or len(runs) >= last or len(found) < asked:
            return runs[:last], len(found) - len(runs)
        asked *= 4


def _named_again(store: Store, tables: Sequence[Table]) -> dict[str, RunSummary | None]:
    """Those of the runs in the tables that others than cvexp have changed on a server; see tracking.cached."""
    from cvexp.tracking.cached import asked_again
    from cvexp.tracking.rows import Fields

    shown = {run.run_id: run for table in tables for group in table.groups for run in group.runs if not run.export}
    return asked_again(store, list(shown.values())[:ASKED_AGAIN], Fields(but_tags=NOT_COMPARED))


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


def _best(runs: Sequence[RunSummary], quality: str) -> frozenset[str]:
    """The run with the highest accuracy of each test set, if any is a number; the first among equals."""
    best: dict[str, tuple[float, str]] = {}
    for run in runs:
        accuracy = run.metrics.get(quality, math.nan)
        if accuracy > best.get(run.test_set, (-math.inf, ""))[0]:
            best[run.test_set] = accuracy, run.run_id
    return frozenset(run_id for _, run_id in best.values())
