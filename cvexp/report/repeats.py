"""How runs that repeat each other are shown: one in full, a line for each that follows, their mean at the end."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cvexp.redaction import without_credentials
from cvexp.report import train as report_train
from cvexp.report.pace import Pace, about
from cvexp.report.terminal import cell, console, hint, say, seconds, table
from cvexp.report.train import TrainConsole
from cvexp.results import EpochMetrics, Metric, TrainResult
from cvexp.runs import BEST_EPOCH, UNLOGGED
from cvexp.stats.verdicts import MARGIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.events import EpochEnded, TrainingStarted
    from cvexp.jobs.plan import Step
    from cvexp.jobs.repeats import Repeat, Repeats
    from cvexp.runs import RunSummary
    from cvexp.stats import Interval

LONG_EPOCH = 10.0
"""Seconds; epochs that take as long are shown of every run."""


class PlanConsole(TrainConsole):
    """Shows the trainings of a plan on stderr: the first run of each recipe in full, and a line when a run has ended.

    It is the observer of every training; the plan's callbacks are `skipped` and `ended`.
    """

    def __init__(self, steps: Sequence[Step], *, started: float | None = None) -> None:
        super().__init__()
        self._todo = [step for step in steps if step.done is None]
        self._n_steps, self._position = len(steps), 0
        self._noun = "seed" if len({step.recipe for step in steps}) == 1 else "run"
        started = time.monotonic() if started is None else started
        self._pace = Pace([step.recipe for step in self._todo], started=started)
        self._in_full: set[str] = set()
        self._is_repeat = False

    def skipped(self, step: Step) -> None:
        """Show a run that is trained already."""
        if step.done is not None:
            self._show_end(step, step.done.name, step.done.metrics, "trained already")

    def ended(self, step: Step, result: TrainResult) -> None:
        """Show a run that has just been trained."""
        self._stop_bar()
        self._todo.pop(0)
        metrics = result.metrics()
        busy = " (busy)" if result.busy else ""
        if self._n_steps > 1:  # else its summary follows
            self._show_end(step, result.run_name, metrics, seconds(metrics[Metric.TRAIN_SECONDS]) + busy)
        self._show_estimate(self._pace.run_ended())

    def _show_head(self, start: TrainingStarted) -> None:
        self._pace.run_started()
        recipe = self._todo[0].recipe
        self._is_repeat = recipe in self._in_full
        self._label = f"seed {start.config.seed}, " if self._n_steps > 1 else ""
        if not self._is_repeat:
            self._in_full.add(recipe)
            super()._show_head(start)

    def _show_fewer_threads(self, start: TrainingStarted) -> None:
        if not self._is_repeat:
            super()._show_fewer_threads(start)

    def _show_contention(self, epoch: EpochEnded) -> None:
        if not self._is_repeat:
            super()._show_contention(epoch)

    def _show_epoch(self, metrics: EpochMetrics) -> None:
        timing = metrics.timing
        if self._is_repeat and timing.train_seconds + timing.evaluate_seconds < LONG_EPOCH:
            self._stop_bar()
        else:
            super()._show_epoch(metrics)
        self._show_estimate(self._pace.epoch_ended(metrics, self._n_epochs))

    def _show_end(self, step: Step, name: str, metrics: Mapping[str, float], note: str) -> None:
        self._position += 1
        figures = [(Metric.TEST_LOSS, "loss {:.5f}"), (Metric.TEST_ACCURACY, "acc {:.2%}")]
        shown = " ".join(form.format(metrics[key]) for key, form in figures if key in metrics)
        seed = step.planned.config.seed
        self._say(f"{self._position}/{self._n_steps}  seed {seed}  {name}  test {shown}  {note}")

    def _show_estimate(self, whole: float | None) -> None:
        if whole is not None:
            plural = "" if self._pace.n_runs == 1 else "s"
            hint(f"{self._pace.n_runs} {self._noun}{plural} take about {about(whole)}")


@dataclass(frozen=True, slots=True)
class Column:
    """A figure in the table: its value times `factor`, with so many decimals and its unit."""

    header: str
    key: Metric
    factor: float
    decimals: int
    unit: str

    def number(self, value: float) -> str:
        """The value without its unit."""
        return f"{self.factor * value:.{self.decimals}f}"

    def value(self, value: float) -> str:
        """One run's value."""
        return self.number(value) + self.unit

    def spread(self, over: Interval) -> str:
        """Mean and standard deviation."""
        return self.number(over.mean) + ("" if over.std is None else f" ± {self.number(over.std)}") + self.unit

    def interval(self, over: Interval) -> str:
        """The limits of the mean's interval; `withheld` where there are none, and nothing for times.

        Times of one process follow each other on one machine, and are not independent as seeds are.
        """
        if self.key.startswith("time/"):
            return ""
        if over.low is None or over.high is None:
            return "withheld"
        return f"{self.number(over.low)} to {self.number(over.high)}{self.unit}"


COLUMNS = (
    Column("val accuracy", Metric.VAL_ACCURACY, 100, 2, "%"),
    Column("test accuracy", Metric.TEST_ACCURACY, 100, 2, "%"),
    Column("balanced accuracy", Metric.TEST_BALANCED_ACCURACY, 100, 2, "%"),
    Column("test loss", Metric.TEST_LOSS, 1, 4, ""),
    Column("training time", Metric.TRAIN_SECONDS, 1, 2, " s"),
)


def show(result: Repeats) -> None:
    """Print a row for each seed, the means over them, and the verdict against the best other recipe, on stdout."""
    n = len(result.runs)
    columns = [column for column in COLUMNS if column.key in result.summary and not _is_redundant(column, result)]
    made = table(">seed", "run", *(f">{column.header}" for column in columns))
    for one in result.runs:
        fell = " (collapsed)" if one.seed in result.collapsed else ""
        figures = [cell(column.value(one.metrics[column.key])) for column in columns]
        made.add_row(str(one.seed), cell(one.name + fell), *figures)
    if n > 1:
        made.add_section()
        over = [result.summary[column.key] for column in columns]
        made.add_row("", "mean ± std", *(column.spread(one) for column, one in zip(columns, over, strict=True)))
        made.add_row("", "95% interval", *(column.interval(one) for column, one in zip(columns, over, strict=True)))
    console().print(made)
    if result.verdict:
        say(result.verdict)
    hint(*_notes(result))


def _is_redundant(column: Column, result: Repeats) -> bool:
    """Whether it is the balanced accuracy, and says what the accuracy says; else it stands in place of the loss."""
    plain, balanced = (result.summary.get(key) for key in (Metric.TEST_ACCURACY, Metric.TEST_BALANCED_ACCURACY))
    is_told = plain is not None and balanced is not None and abs(plain.mean - balanced.mean) > MARGIN
    return column.key == (Metric.TEST_LOSS if is_told else Metric.TEST_BALANCED_ACCURACY)


def _notes(result: Repeats) -> list[str]:
    """What to know about the figures, and about what was done."""
    n, fell = len(result.runs), len(result.collapsed)
    notes = []
    if fell:
        notes.append(f"{fell} of {n} collapsed (no better than guessing), so the mean's interval is withheld")
    elif n == 1:
        notes.append("one seed: how much others differ is not known")
    else:
        notes.append(f"± is the standard deviation over {n} seeds; the interval is the mean's (Student's t)")
    n_now = sum(one.trained_now for one in result.runs)
    if n_now < n:
        notes.append(f"{n_now} of {n} seeds were trained now" if n_now else "all of them were trained already")
    return notes


def document(result: Repeats) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "recipe": result.recipe,
        "runs": [_run(one) for one in result.runs],
        "summary": {key: asdict(over) for key, over in result.summary.items()},
        "collapsed_seeds": list(result.collapsed),
    }


def _run(repeat: Repeat) -> dict[str, Any]:
    """A run as `cvexp train --json` prints it, as far as the store knows it."""
    run = repeat.run
    plain = report_train.document(run) if isinstance(run, TrainResult) else _stored(repeat, run)
    return {**plain, "undelivered": repeat.undelivered, "trained_now": repeat.trained_now}


def _stored(repeat: Repeat, run: RunSummary) -> dict[str, Any]:
    epochs, asked = run.settings.get("epochs", ""), run.asked.get("epochs", "")
    best = run.tags.get(BEST_EPOCH, "")
    return {
        "run_id": run.run_id,
        "run_name": run.name,
        "status": run.status,
        "model": run.params.get("model"),
        "dataset": run.params.get("dataset"),
        "device": run.tags.get("cvexp.device"),
        "device_name": run.tags.get("cvexp.device_name"),
        "epochs": int(epochs) if epochs.isdecimal() else None,
        "seed": repeat.seed,
        "stopped": None if epochs == asked else f"after {epochs} of {asked} epochs",
        "unlogged": run.tags.get(UNLOGGED) or None,
        "best_epoch": int(best) if best.isdecimal() else None,
        "busy": run.busy or None,
        "metrics": dict(run.metrics),
        "history": [{"epoch": epoch, **figures} for epoch, figures in repeat.history.items()],
        "artifacts_uri": without_credentials(run.artifacts_uri),
    }
