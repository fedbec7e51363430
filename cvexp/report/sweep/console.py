"""A sweep while it runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from cvexp.report.sweep.words import figures_of, name_of, point_of, state_of
from cvexp.report.terminal import cell, console, seconds

if TYPE_CHECKING:
    from cvexp.config.sweep import Sweep
    from cvexp.jobs.trials import Trial


class SweepConsole:
    """Watches a sweep and shows it on stderr: a line for each trial that has ended, bars for those under way.

    Use as a context manager, which removes the bars at the end.
    """

    def __init__(self, sweep: Sweep) -> None:
        self._sweep, self._console = sweep, console(stderr=True)
        self._n_ended = 0
        self._bars: Progress | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
            more = (TextColumn("epochs {task.fields[figures]}"),)
            self._bars = Progress(*columns, *more, console=self._console, transient=True, refresh_per_second=2)
            self._bars.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def began(self, trial: Trial) -> None:
        """See jobs.trial_work.Watcher."""
        if self._bars is not None and trial.key not in self._tasks:
            self._tasks[trial.key] = self._bars.add_task(name_of(trial), total=trial.config.epochs, figures="")

    def moved(self, trial: Trial) -> None:
        """See jobs.trial_work.Watcher."""
        if self._bars is not None and trial.key in self._tasks:
            figures = figures_of(self._sweep, trial.metrics)
            self._bars.update(self._tasks[trial.key], completed=trial.epochs, figures=figures)

    def ended(self, trial: Trial) -> None:
        """See jobs.trial_work.Watcher."""
        if self._bars is not None and trial.key in self._tasks:
            self._bars.remove_task(self._tasks.pop(trial.key))
        self._n_ended += trial.state != "interrupted"
        point = point_of(self._sweep, trial.point)
        took = f"  {seconds(trial.seconds)}" if trial.seconds else ""
        what = f"{figures_of(self._sweep, trial.metrics)}{took}" if trial.ended else ""
        what = trial.reason if trial.reason not in ("", trial.state) else what
        state = "" if trial.state == "finished" else f"{state_of(trial)}  "
        self._console.print(cell(f"{name_of(trial)}  {state}{what}  {point}"), soft_wrap=True)
