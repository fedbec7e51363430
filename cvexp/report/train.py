"""How training is shown: a line an epoch, a bar where there is a terminal, a summary at the end."""

from collections.abc import Mapping
from typing import Any, Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from cvexp.contention import BUSY_TRAINING_SHARE
from cvexp.events import CheckpointStarted, EpochEnded, Observed, StepsRun, TrainingStarted
from cvexp.redaction import without_credentials
from cvexp.report.terminal import cell, console, seconds, show_rows
from cvexp.results import EpochMetrics, Evaluation, Metric, TrainResult

_MEDIAN = Metric.EPOCH_SECONDS_MEDIAN
_PEAKS = {"peak memory": Metric.PROCESS_PEAK_BYTES, "peak memory of the GPU": Metric.DEVICE_PEAK_BYTES}


class TrainConsole:
    """An observer that shows a training on stderr. Use as a context manager, which removes the bar at the end."""

    def __init__(self) -> None:
        self._console = console(stderr=True)
        self._n_epochs = self._n_threads = 0
        self._label = ""  # in front of the bar
        self._not_shared = ""
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop_bar()

    def __call__(self, event: Observed) -> None:
        """Show what is trained, on what and where; how far it is; each epoch's figures."""
        match event:
            case TrainingStarted():
                self._show_start(event)
            case StepsRun():
                self._move_bar(event)
            case EpochEnded():
                self._show_epoch(event.metrics)
                self._show_contention(event)
            case CheckpointStarted():
                if event.not_shared not in ("", self._not_shared):
                    self._say(f"warning  checkpoints are written here, but not shared: {event.not_shared}")
                self._not_shared = event.not_shared

    def _show_start(self, start: TrainingStarted) -> None:
        self._n_epochs, self._n_threads = start.config.epochs, start.threads
        self._show_head(start)
        self._show_fewer_threads(start)
        if not start.store_answers:
            self._say("tracker  does not answer; what it lacks is stored in .cvexp until it does")
        if start.resumed_at is not None:
            at = start.resumed_at
            self._say(f"resumed  before step {at.step + 1:,} of {at.n_steps:,} of epoch {at.epoch}")

    def _show_fewer_threads(self, start: TrainingStarted) -> None:
        if start.fewer_threads:
            self._say(f"machine  busy: {start.fewer_threads}; --threads N is obeyed")

    def _show_head(self, start: TrainingStarted) -> None:
        plural = "" if start.threads == 1 else "s"
        threads = f", {start.threads} thread{plural}" if start.device == "cpu" else ""
        val = f"{start.n_val:,} validation, " if start.n_val else ""
        self._say(f"run      {start.run_name} ({start.run_id})")
        trained = f", {start.n_trained:,} of them trained" if start.n_trained < start.n_parameters else ""
        self._say(f"model    {start.config.model}, {start.n_parameters:,} parameters{trained}")
        for note in start.notes:
            self._say(f"         {note}")
        self._say(
            f"data     {start.config.dataset}: {start.n_train:,} training, {val}{start.n_test:,} test images "
            f"from {start.data_source}"
        )
        self._say(f"device   {start.device}: {start.device_name}{threads}, {start.step_runner} steps")
        self._show_choice(start)

    def _show_choice(self, start: TrainingStarted) -> None:
        """What is chosen by the validation part, which may have been set aside for that alone."""
        config = start.config
        plural = "" if config.early_stop == 1 else "s"
        chosen = {
            f"stops after {config.early_stop} epoch{plural} without a better one": config.early_stop is not None,
            "the best epoch is tested and stored": config.keep_best,
            "the rate falls when the loss does not": config.schedule == "plateau",
        }
        if any(chosen.values()):
            texts = "; ".join(text for text, on in chosen.items() if on)
            figure = "" if config.monitor == "accuracy" else f"'s {config.monitored}"
            self._say(
                f"choice   by the validation split{figure}, {config.val_split:.3g} of the training images: {texts}"
            )

    def _move_bar(self, progress: StepsRun) -> None:
        if not self._console.is_terminal:
            return
        if self._bar is None:
            description, n_steps = TextColumn("{task.description}"), (MofNCompleteColumn(), TextColumn("steps"))
            columns = (description, BarColumn(), *n_steps, TimeRemainingColumn())
            self._bar = Progress(*columns, console=self._console, transient=True, refresh_per_second=2)
            epoch = f"{self._label}epoch {progress.epoch}/{self._n_epochs}"
            self._task = self._bar.add_task(epoch, total=progress.n_steps, completed=progress.step)
            self._bar.start()
        elif self._task is not None:
            self._bar.update(self._task, completed=progress.step)

    def _show_epoch(self, metrics: EpochMetrics) -> None:
        self._stop_bar()
        held_out = metrics.held_out.metrics
        balanced = f" balanced {held_out.balanced_accuracy:.2%}" if metrics.held_out.is_imbalanced else ""
        self._say(
            f"epoch {metrics.epoch}/{self._n_epochs}"
            f"  train loss {metrics.train.loss:.5f} acc {metrics.train.accuracy:.2%}"
            f"  {metrics.held_out_name} loss {held_out.loss:.5f} acc {held_out.accuracy:.2%}{balanced}"
            f"  {seconds(metrics.timing.train_seconds + metrics.timing.evaluate_seconds)}"
        )

    def _show_contention(self, epoch: EpochEnded) -> None:
        if epoch.waited_share is None:
            return
        so_far = "" if epoch.last else " so far"
        remedy = "train alone" if self._n_threads == 1 else "train alone, or with --threads 1"
        self._say(
            f"machine  busy: training waited {epoch.waited_share:.0%} of its time for a core{so_far}; "
            f"above {BUSY_TRAINING_SHARE:.0%} times are not ranked: {remedy}"
        )

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = self._task = None

    def _say(self, line: str) -> None:
        self._console.print(cell(line), soft_wrap=True)


def show(result: TrainResult) -> None:
    """Print the summary on stdout."""
    metrics, timing = result.metrics(), result.timing
    val = metrics.get(Metric.VAL_ACCURACY)
    rows = {
        **({} if val is None else {"validation accuracy": f"{val:.2%}"}),
        **_tested(metrics, result.evaluation),
        "training time": seconds(timing.train_seconds),
        **({"epoch, median": seconds(metrics[_MEDIAN])} if _MEDIAN in metrics else {}),
        **_seconds_to_accuracy(result),
        "images per second": f"{metrics[Metric.IMAGES_PER_SECOND]:,.0f}",
        "whole command": seconds(timing.total_seconds),
        **{name: f"{metrics[key] / 2**20:,.0f} MiB" for name, key in _PEAKS.items() if key in metrics},
        **({"waited for a core": f"{metrics[Metric.WAITED_SHARE]:.0%}, not to be ranked"} if result.busy else {}),
        **({"best epoch": f"{result.best_epoch} of {len(result.history)}"} if result.best_epoch else {}),
        **({"stopped": result.stopped} if result.stopped else {}),
        **({"logged model": f"none: {result.unlogged}"} if result.unlogged else {}),
    }
    show_rows(rows, bold="test accuracy")


def _tested(metrics: Mapping[str, float], evaluation: Evaluation | None) -> dict[str, str]:
    if Metric.TEST_LOSS not in metrics:
        return {}
    found = {"test accuracy": f"{metrics[Metric.TEST_ACCURACY]:.2%}"}
    if evaluation is not None and evaluation.is_imbalanced:
        found["balanced accuracy"] = f"{metrics[Metric.TEST_BALANCED_ACCURACY]:.2%}, the mean recall of the classes"
        found["macro F1"] = f"{metrics[Metric.TEST_MACRO_F1]:.4f}"
    return found | {"test loss": f"{metrics[Metric.TEST_LOSS]:.5f}"}


def _seconds_to_accuracy(result: TrainResult) -> dict[str, str]:
    target, after = result.config.target_accuracy, result.figures.get(Metric.SECONDS_TO_ACCURACY)
    if target is None:
        return {}
    return {f"time to {100 * target:g}%": "not reached" if after is None else seconds(after)}


def document(result: TrainResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "run_id": result.run_id,
        "run_name": result.run_name,
        "status": result.status,
        "model": result.config.model,
        "dataset": result.config.dataset,
        "device": result.device,
        "device_name": result.device_name,
        "epochs": result.config.epochs,
        "seed": result.config.seed,
        "stopped": result.stopped or None,
        "best_epoch": result.best_epoch,
        "unlogged": result.unlogged or None,
        "busy": result.busy or None,
        "metrics": result.metrics(),
        "history": [{"epoch": epoch.epoch, **epoch.keyed()} for epoch in result.history],
        "artifacts_uri": without_credentials(result.artifacts_uri),
        "undelivered": result.undelivered,
    }
