"""The pictures of a sweep, to files and into MLflow's pages beside its best run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.jobs.sweep_plan import as_tried
from cvexp.plots.files import check_path, save
from cvexp.sweep.study import BEST_SHARE, IMPORTANCE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.figure import Figure

    from cvexp.jobs.sweep import SweepResult

FOLDER = "sweep"
"""Of the artifacts of the best run."""


def draw(result: SweepResult, plot: Path) -> tuple[Path, ...]:
    """Draw beside `plot`: with -history and -importance at the end of its name; gives the files.

    Raises:
        InputError: They cannot be written.
    """
    drawn = []
    for name, figure in _figures(result):
        path = check_path(plot.with_name(f"{plot.stem}-{name}{plot.suffix or '.png'}"))
        save(figure, path)
        drawn.append(path)
    return tuple(drawn)


def publish(result: SweepResult) -> str:
    """Store the pictures with the best run and the sweep's view with its experiment; gives the run's id.

    Raises:
        InputError: The store cannot be written.
    """
    from cvexp.tracking.artifacts import add_file, located
    from cvexp.tracking.queries import find
    from cvexp.tracking.store import open_store
    from cvexp.tracking.sweep_view import write_sweep_view

    plan = result.plan
    store = open_store(plan.settings, create=False)
    run = located(store, find(store, result.trial(result.best[0].key).run_id).run)
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        for name, figure in _figures(result):
            file = Path(scratch) / f"{name}.png"
            save(figure, file)
            add_file(store, run, file, name=f"{FOLDER}/{file.name}")
    write_sweep_view(
        store,
        name=plan.path.stem,
        digest=plan.sweep.digest,
        settings=list(plan.sweep.space),
        goals=[goal.figure for goal in plan.sweep.goals],
    )
    return run.run_id


def _figures(result: SweepResult) -> Iterator[tuple[str, Figure]]:
    """Each picture by its name, as far as there is something to draw."""
    from cvexp.plots.sweep import TrialPoint, history, importance

    sweep, title = result.plan.sweep, result.plan.path.stem
    points = [
        TrialPoint(number=one.number, value=one.values[0] if one.values else None, state=one.state)
        for one in as_tried(result.trials, sweep).values()
        if one.state != "waiting"
    ]
    n_pruned = sum(one.state == "pruned" for one in points)
    pruned = f", {n_pruned} of them pruned" if n_pruned else ""
    goal = sweep.goal
    yield (
        "history",
        history(points, figure=goal.figure, maximize=goal.maximize, title=f"{title}: {len(points)} trials{pruned}"),
    )
    if result.importances:
        method = f"share of importance for being among the best {BEST_SHARE:.0%} of trials, by {IMPORTANCE}"
        yield "importance", importance(result.importances, method=method, title=f"{title}: which settings matter")
