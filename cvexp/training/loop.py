"""One training, from the first step to the last artifact, and the events that it emits to its subscribers."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from cvexp import events
from cvexp.config.model import names_code
from cvexp.errors import Interrupted, StorageError
from cvexp.redaction import without_credentials
from cvexp.results import Timing, TrainResult
from cvexp.runs import ID_DIGITS, READ_AHEAD
from cvexp.training.checkpoints import Checkpoint, Checkpoints, CheckpointSchedule, checkpoints_of
from cvexp.training.figures import ContentionNotice, busy_text, history_figures, is_over, stopped_text
from cvexp.training.logged_program import store_program
from cvexp.training.out_of_memory import memory_explained
from cvexp.training.outputs import EVERYTHING, Outputs
from cvexp.training.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from torch import Tensor

    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.engine.fit import Fit, Progress
    from cvexp.models.spec import ModelSpec
    from cvexp.results import EpochMetrics, Evaluation, HeldOutName, ModelSize
    from cvexp.settings import StoreSettings
    from cvexp.tracking.outbox import Outbox
    from cvexp.training.session import Prepared
    from cvexp.training.signals import StopSignals

REFRESH_SECONDS = 0.5
LEFT_OUT = "it was left out, as --lean does"


@dataclass(kw_only=True, slots=True)
class Training:
    """Trains what was prepared.

    Each event goes to the observer, then to the run's own subscribers: the recorder, which feeds the outbox, and the
    checkpoint schedule. When the observer answers `STOP`, the epoch under way is the last one, and the run ends there
    as FINISHED, tested and stored as after its last epoch. A signal stops it between two steps instead, with a
    checkpoint, and the run is KILLED. Once `max_time` has passed, no further epoch begins.

    Attributes:
        opening: Opens the run's outbox, and closes it.
        started: `time.monotonic()` when the command began.
        resumed: Where to resume; None from the start.
        outputs: What the run leaves.
        end_tags: Called when the training has ended, for what is known of the run then.
    """

    prepared: Prepared
    opening: AbstractContextManager[Outbox]
    settings: StoreSettings
    policy: CheckpointPolicy
    signals: StopSignals
    observer: events.Observer | None
    started: float
    resumed: Checkpoint | None = None
    outputs: Outputs = EVERYTHING
    end_tags: Callable[[], Mapping[str, str]] = dict
    tracked: Outbox = field(init=False)
    _fit: Fit = field(init=False)
    _history: list[EpochMetrics] = field(default_factory=list)
    _checkpoints: Checkpoints = field(init=False)
    _schedule: CheckpointSchedule = field(init=False)
    _recorder: Recorder = field(init=False)
    _logits: dict[HeldOutName, Tensor | None] = field(default_factory=dict)
    _stops_early: bool = False
    _notice: ContentionNotice = field(default_factory=ContentionNotice)
    _saved: Progress | None = None
    _shown_at: float = 0.0

    def run(self) -> TrainResult:
        """Open the run, train, test, store what came out, and close it; raises what jobs.train.run does."""
        from cvexp.device import threads

        with threads(self.prepared.layout.threads), self.signals.deferred(), self.opening as self.tracked:
            journal = self.tracked.journal
            self._checkpoints = checkpoints_of(journal, self.policy)
            self._recorder = Recorder(self.tracked, self.prepared, self.outputs)
            result = self._run()
            self._checkpoints.remove_copies()
        left = journal.unsent
        return replace(result, undelivered=left, trouble=self.tracked.trouble if left else "")

    def _run(self) -> TrainResult:
        from cvexp.models.summary import model_size

        size = model_size(self.prepared.model)
        self._recorder.inputs()
        self._fit = self.prepared.fit(self._on_progress)
        self.prepared.ranks.advise(self._resume_command())
        if self.resumed is not None:
            self._fit.load_state(dict(self.prepared.ranks.share_state(self.resumed.fit)))
            self._checkpoints.resume_from(self.resumed)
            self._history += self.resumed.history
            self._recorder.epochs_before(self._history)
        self._checkpoints.start_thread()
        if "run_id" in self.tracked.journal.facts:
            self.tracked.drain()
        self._notify(self._training_started(size))
        setup_seconds = time.monotonic() - self.started - self.tracked.seconds - self._fit.seconds_before
        self._check_signals("before the first step" if self.resumed is None else "where it was resumed")
        with memory_explained():
            self._train()
            self._checkpoints.finish()
            self._leave_if_asked()
        best_epoch = self._fit.finish()
        evaluation, evaluate_seconds = self._test()
        spec = self._store(evaluation)
        result = self._result(evaluation, size, setup_seconds=setup_seconds, evaluate_seconds=evaluate_seconds)
        unlogged = store_program(self.prepared, spec, self.tracked) if self.outputs.program else LEFT_OUT
        result = replace(result, best_epoch=best_epoch, unlogged=unlogged)
        self._recorder.outcome(result, self.end_tags())
        return result

    def _result(
        self, evaluation: Evaluation | None, size: ModelSize, *, setup_seconds: float, evaluate_seconds: float
    ) -> TrainResult:
        from cvexp.training.memory import peak_bytes

        history, prepared = tuple(self._history), self.prepared
        figures = history_figures(history, target_accuracy=prepared.config.target_accuracy)
        return TrainResult(
            run_id=self.tracked.run_id,
            run_name=self.tracked.name,
            experiment_id=self.tracked.journal.facts.get("experiment_id", ""),
            tracking_uri=without_credentials(self.settings.tracking_uri),
            status="FINISHED",
            config=replace(prepared.config, epochs=len(history)),
            device=str(prepared.device.torch),
            device_name=prepared.device.name,
            class_names=prepared.dataset.class_names,
            history=history,
            evaluation=evaluation,
            timing=Timing(
                setup_seconds=setup_seconds,
                first_step_seconds=history[0].timing.first_step_seconds,
                train_seconds=sum(e.timing.train_seconds for e in history),
                evaluate_seconds=sum(e.timing.evaluate_seconds for e in history) + evaluate_seconds,
                tracking_seconds=self.tracked.seconds,
                total_seconds=self._seconds(),
            ),
            size=size,
            artifacts_uri=self.tracked.journal.facts.get("artifacts_uri", ""),
            figures=figures | peak_bytes(prepared.device),
            busy=busy_text(history, n_threads=prepared.layout.threads, machine=prepared.machine),
            stopped="" if self._stops_early else stopped_text(history, prepared.config),
        )

    def _notify(self, event: events.Observed) -> None:
        """Call the observer; `STOP` stays in force."""
        if self.observer is not None and self.observer(event) is events.STOP:
            self._stops_early = True

    def _train(self) -> None:
        self._schedule = CheckpointSchedule(self.policy)
        for epoch in self._epochs():
            self._history.append(epoch)
            last = is_over(self._history, self.prepared.config)
            event = events.EpochEnded(metrics=epoch, last=last, waited_share=self._notice(self._history))
            try:
                self._notify(event)
            finally:  # the epoch is recorded before a checkpoint that follows it, whatever the observer raises
                event = replace(event, last=event.last or self._stops_early)
                self._recorder(event)
            if self._schedule(event):
                self._save()
            self._leave_if_asked()
            self.tracked.drain()
            if self._stops_early:
                break

    def _epochs(self) -> Iterator[EpochMetrics]:
        """Train until it is over, which it may be at once where a run is resumed."""
        epochs = iter(self._fit)
        while not is_over(self._history, self.prepared.config) and (epoch := next(epochs, None)) is not None:
            yield epoch

    def _on_progress(self, progress: Progress) -> None:
        """The engine's callback between steps: show progress, write a checkpoint, stop on a signal."""
        event = events.StepsRun(epoch=progress.epoch, step=progress.step, n_steps=progress.n_steps)
        now = time.monotonic()
        if now - self._shown_at >= REFRESH_SECONDS:
            self._notify(event)
            self._shown_at = now
        if self._schedule(event):
            self._save()
        self._leave_if_asked()

    def _leave_if_asked(self) -> None:
        self.prepared.ranks.relay(self.signals)
        if self.signals.signum is None:
            return
        self._save()
        self._checkpoints.finish()
        done = self._fit.progress
        where = f"epoch {done.epoch}, step {done.step} of {done.n_steps}"
        self._check_signals(f"the end of epoch {done.epoch - 1}" if done.epoch > self.prepared.config.epochs else where)

    def _check_signals(self, where: str = "the end of training") -> None:
        if self.signals.signum is not None:
            raise Interrupted(self.signals.signum, f"kept as of {where}", f"go on: {self._resume_command()}")

    def _resume_command(self) -> str:
        model = self.prepared.config.model
        factory = [model] if names_code(model) else []  # code is not taken from a run's records
        return self.settings.command("train", *factory, "--resume", self.tracked.run_id[:ID_DIGITS])

    def _save(self) -> None:
        """Start writing a checkpoint of the current state, unless the last one was of the same."""
        done = self._fit.progress
        if done == self._saved:
            return
        checkpoint = Checkpoint(fit=self._fit.state(), history=tuple(self._history), seconds=self._seconds())
        self._checkpoints.begin(checkpoint)
        self._saved = done
        started = events.CheckpointStarted(epoch=done.epoch, step=done.step, not_shared=self._checkpoints.not_shared)
        self._schedule(started)
        self._notify(started)

    def _seconds(self) -> float:
        return time.monotonic() - self.started + (self.resumed.seconds if self.resumed else 0.0)

    def _training_started(self, size: ModelSize) -> events.TrainingStarted:
        dataset, device, at = self.prepared.dataset, self.prepared.device, self._fit.progress
        cached = self.prepared.cached
        return events.TrainingStarted(
            run_id=self.tracked.run_id,
            run_name=self.tracked.name,
            config=self.prepared.config,
            device=str(device.torch),
            device_name=device.name,
            threads=device.threads,
            step_runner=self.prepared.steps.runner.name,
            data_source="; ".join([dataset.place, *filter(None, [dataset.tags.get(READ_AHEAD)])]),
            n_train=len(dataset.train),
            n_val=0 if dataset.val is None else len(dataset.val),
            n_test=len(dataset.test),
            n_parameters=size.parameters,
            n_trained=size.trainable_parameters,
            notes=(*self.prepared.notes, *([] if cached is None else [f"features {cached}"])),
            fewer_threads=self.prepared.layout.fewer,
            resumed_at=events.StepsRun(epoch=at.epoch, step=at.step, n_steps=at.n_steps) if self.resumed else None,
            store_answers="run_id" in self.tracked.journal.facts,
        )

    def _test(self) -> tuple[Evaluation | None, float]:
        """The test split's figures with the final weights, if they are wanted, and the seconds it took to get them."""
        last = self._history[-1]
        self._logits[last.held_out_name] = self._fit.held_out_logits
        if not self.outputs.test:
            return None, 0.0
        if last.held_out_name == "test" and self.prepared.cached is None:
            return last.held_out, 0.0
        from cvexp.inference.evaluate import evaluate

        dataset, device = self.prepared.dataset, self.prepared.device
        start = device.clock()
        evaluation = evaluate(
            self.prepared.model,
            dataset.test.to(device.torch),
            transform=dataset.transform,
            class_names=dataset.class_names,
            n_threads=self.prepared.layout.evaluation_threads,
            after_batch=self._check_signals,
            keep_logits=partial(self._logits.__setitem__, "test"),
            logits_of=self.prepared.ranks.logits_by_class,
        )
        return evaluation, device.clock() - start

    def _store(self, evaluation: Evaluation | None) -> ModelSpec:
        """Write everything to the run's folder and record it; see `training.stored`."""
        from cvexp.training.stored import store

        try:
            return store(
                self.tracked,
                self.prepared,
                self._history,
                evaluation,
                self._logits,
                outputs=self.outputs,
                after_each=self._check_signals,
            )
        except OSError as error:
            raise StorageError(
                f"cannot write to {self.tracked.folder}: {error.strerror or error}",
                f"make room there, then: {self._resume_command()}",
            ) from error
