"""How runs that several workers train at once are shown: a bar for each on a terminal, lines elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from cvexp.executors.seam import Ended, Epoch, Event, Lost, Started
from cvexp.report.terminal import cell, console, seconds
from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.jobs.plan import Step

SHOWN = (
    (Metric.TEST_ACCURACY, "test acc {:.2%}"),
    (Metric.VAL_ACCURACY, "val acc {:.2%}"),
    (Metric.TRAIN_LOSS, "train loss {:.5f}"),
)
"""The first of these that there is stands for how good a run is."""


class WorkersConsole:
    """Shows what workers do on stderr. A context manager; `jobs.experiment.run` calls `skipped` and `happened`."""

    def __init__(self, steps: Sequence[Step], *, n_workers: int | None, executor: str = "local") -> None:
        self._console = console(stderr=True)
        self._n_steps, self._position = len(steps), 0
        workers = f"{n_workers} worker{'' if n_workers == 1 else 's'}" if n_workers else "as many workers as have room"
        self._workers = workers if executor == "local" else f"{workers} on {executor}"
        self._bars: dict[str, TaskID] = {}
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn())
        last = TextColumn("{task.fields[figure]}")
        self._progress = Progress(*columns, last, console=self._console, transient=True, refresh_per_second=2)
        self._total = self._progress.add_task("runs", total=self._n_steps, figure="")

    def __enter__(self) -> Self:
        self._say(f"plan     {self._n_steps} runs, {self._workers}")
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        if self._console.is_terminal:
            self._progress.stop()

    def skipped(self, step: Step) -> None:
        """Show a run that is trained already."""
        if step.done is not None:
            self._end(step, step.done.name, step.done.metrics, "trained already")

    def happened(self, step: Step, event: Event) -> None:
        """Show an event of a run."""
        match event:
            case Started():
                about = f"{step.planned.config.model} seed {step.planned.config.seed}"
                total = step.planned.config.epochs
                self._bars[event.trial] = self._progress.add_task(f"  {about}", total=total, figure="")
            case Epoch() if event.trial in self._bars:
                self._progress.update(self._bars[event.trial], completed=event.epoch, figure=_figure(event.values))
            case Lost(reason=reason):
                self._hide(event.trial)
                self._say(f"lost     {_label(step)}: {reason}, in attempt {event.number}")
                self._chat(event.chatter)
            case Ended():
                self._hide(event.trial)
                self._ended(step, event)

    def _ended(self, step: Step, event: Ended) -> None:
        if event.status == "FINISHED":
            busy = seconds(event.metrics[Metric.TRAIN_SECONDS]) if Metric.TRAIN_SECONDS in event.metrics else ""
            self._end(step, event.run_name, event.metrics, busy)
        elif event.status == "FAILED":
            self._say(f"failed   {_label(step)}: {event.reason}")
            self._chat(event.chatter)
        elif event.run_id:
            self._say(f"stopped  {_label(step)}: {event.reason}")

    def _end(self, step: Step, name: str, metrics: Mapping[str, float], note: str) -> None:
        self._position += 1
        self._progress.update(self._total, completed=self._position)
        seed = step.planned.config.seed
        self._say(f"{self._position}/{self._n_steps}  seed {seed}  {name}  {_figure(metrics)}  {note}")

    def _hide(self, trial: str) -> None:
        bar = self._bars.pop(trial, None)
        if bar is not None:
            self._progress.remove_task(bar)

    def _chat(self, chatter: str) -> None:
        for line in chatter.splitlines():
            self._console.print(cell(f"         {line}", "dim"), soft_wrap=True)

    def _say(self, line: str) -> None:
        self._console.print(cell(line), soft_wrap=True)


def _label(step: Step) -> str:
    return f"{step.planned.name or step.planned.config.model} seed {step.planned.config.seed}"


def _figure(values: Mapping[str, float]) -> str:
    return next((form.format(values[key]) for key, form in SHOWN if key in values), "")
