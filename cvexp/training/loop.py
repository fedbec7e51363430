"""A run under way, from the first step to the last artifact."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cvexp.errors import Interrupted
from cvexp.results import ID_DIGITS, Metric, Timing, TrainResult
from cvexp.settings import without_credentials
from cvexp.training.checkpoints import Checkpoint, Checkpoints
from cvexp.training.observer import Opening
from cvexp.training.session import memory_explained

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.engine.fit import Fit, Progress
    from cvexp.results import EpochMetrics, Evaluation
    from cvexp.settings import StoreSettings
    from cvexp.tracking.run import Run
    from cvexp.training.observer import TrainObserver
    from cvexp.training.session import Prepared
    from cvexp.training.signals import Stop

REFRESH_SECONDS = 0.5


@dataclass(kw_only=True, slots=True)
class Training:
    """Trains what was prepared.

    Args:
        prepared: What to train.
        opening: Opens the run to train into, and closes it.
        settings: Where it is tracked.
        policy: When to write checkpoints.
        stop: Says whether a signal asked for an end.
        observer: Told how it goes.
        started: `time.monotonic()` when the command began.
        resumed: Where to go on; None from the start.
    """

    prepared: Prepared
    opening: AbstractContextManager[Run]
    settings: StoreSettings
    policy: CheckpointPolicy
    stop: Stop
    observer: TrainObserver
    started: float
    resumed: Checkpoint | None = None
    tracked: Run = field(init=False)
    _history: list[EpochMetrics] = field(default_factory=list)
    _checkpoints: Checkpoints = field(init=False)
    _saved: Progress | None = None
    _saved_at: float = 0.0
    _shown_at: float = 0.0

    def run(self) -> TrainResult:
        """Open the run, train, test, store what came out, and close it.

        Raises:
            StoreError: The store cannot be used.
            Interrupted: A signal asked for it; a checkpoint was written.
            TrainingError: The loss is no number, or there is no memory left.
            StorageError: The disk is full.
        """
        from cvexp.device import threads

        with threads(self.prepared.placed.threads), self.stop.deferred(), self.opening as self.tracked:
            self._checkpoints = Checkpoints(self.tracked.folder, self.policy.keep, before=self.tracked.flush)
            result = self._run()
        left = self.tracked.undelivered
        return replace(result, undelivered=left, trouble=self.tracked.trouble if left else "")

    def _run(self) -> TrainResult:
        from cvexp.models.summary import model_size

        size = model_size(self.prepared.model)
        config = self.prepared.config
        self._record_inputs()
        fit = self._ready()
        self._checkpoints.ready()
        if self.tracked.is_known:
            self.tracked.settle()
        self.observer.opened(self._opening(size.parameters, fit.progress))
        setup_seconds = time.monotonic() - self.started - self.tracked.seconds
        self._obey("before the first step" if self.resumed is None else "where it was resumed")
        with memory_explained():
            self._train(fit)
            self._checkpoints.finish()
            self._leave_if_asked(fit)
        evaluation, evaluate_seconds = self._test()
        self._store_artifacts(evaluation)
        history = self._history
        result = TrainResult(
            run_id=self.tracked.run_id,
            run_name=self.tracked.name,
            experiment_id=self.tracked.experiment_id,
            tracking_uri=without_credentials(self.settings.tracking_uri),
            status="FINISHED",
            config=config,
            device=str(self.prepared.device.torch),
            device_name=self.prepared.device.name,
            class_names=self.prepared.dataset.class_names,
            history=tuple(history),
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
            artifacts_uri=self.tracked.artifacts_uri,
        )
        self._record_outcome(result)
        return result

    def _ready(self) -> Fit:
        """The engine, standing where training begins or goes on.

        Raises:
            WeightsError: The checkpoint does not fit.
        """
        from cvexp.engine.fit import Fit

        fit = Fit(
            self.prepared.model,
            self.prepared.dataset,
            config=self.prepared.config,
            device=self.prepared.device,
            runner=self.prepared.steps.runner,
            evaluation_threads=self.prepared.placed.evaluation_threads,
            between=lambda progress: self._between(fit, progress),
        )
        if self.resumed is not None:
            fit.load_state(self.resumed.fit)
            self._checkpoints.go_on_from(self.resumed)
            self._history += self.resumed.history
        return fit

    def _train(self, fit: Fit) -> None:
        every, epochs = self.policy.every, self.prepared.config.epochs
        self._saved_at = time.monotonic()
        for epoch in fit:
            self._history.append(epoch)
            self._record_steps(epoch)
            self.tracked.log_metrics(epoch.keyed(), step=epoch.epoch, final=epoch.epoch == epochs)
            self.observer.finished_epoch(epoch)
            if every and (epoch.epoch % every == 0 or epoch.epoch == epochs):
                self._save(fit)
            self._leave_if_asked(fit)
            self.tracked.settle()

    def _between(self, fit: Fit, progress: Progress) -> None:
        """Between two calls of the engine: show how far it is, keep a checkpoint, obey a signal."""
        now = time.monotonic()
        if now - self._shown_at >= REFRESH_SECONDS:
            self.observer.progressed(progress)
            self._shown_at = now
        if self.policy.minutes and now - self._saved_at >= 60 * self.policy.minutes:
            self._save(fit)
        self._leave_if_asked(fit)

    def _leave_if_asked(self, fit: Fit) -> None:
        if self.stop.signum is None:
            return
        self._save(fit)
        self._checkpoints.finish()
        done = fit.progress
        where = f"epoch {done.epoch}, step {done.step} of {done.n_steps}"
        self._obey(where if done.epoch <= self.prepared.config.epochs else f"the end of epoch {done.epoch - 1}")

    def _obey(self, where: str = "the end of training") -> None:
        """Leave, if a signal asked for it: in between two things, so that each of them is done or not.

        Raises:
            Interrupted: It did.
        """
        if self.stop.signum is not None:
            raise Interrupted(self.stop.signum, f"kept as of {where}", f"go on: {self._resume_command()}")

    def _resume_command(self) -> str:
        model = self.prepared.config.model
        factory = [model] if ":" in model else []  # code is not taken from a run's records
        return self.settings.command("train", *factory, "--resume", self.tracked.run_id[:ID_DIGITS])

    def _save(self, fit: Fit) -> None:
        """Begin a checkpoint of where training stands, unless the last one was."""
        if fit.progress == self._saved:
            return
        checkpoint = Checkpoint(fit=fit.state(), history=tuple(self._history), seconds=self._seconds())
        self._checkpoints.begin(checkpoint)
        self._saved = fit.progress
        self._saved_at = time.monotonic()

    def _seconds(self) -> float:
        """Of the whole command so far, those of the processes before this one included."""
        return time.monotonic() - self.started + (self.resumed.seconds if self.resumed else 0.0)

    def _opening(self, n_parameters: int, progress: Progress) -> Opening:
        dataset, device = self.prepared.dataset, self.prepared.device
        return Opening(
            run_id=self.tracked.run_id,
            run_name=self.tracked.name,
            config=self.prepared.config,
            device=str(device.torch),
            device_name=device.name,
            threads=device.threads,
            step_runner=self.prepared.steps.runner.name,
            dataset_place=dataset.place,
            n_train=len(dataset.train),
            n_val=0 if dataset.val is None else len(dataset.val),
            n_test=len(dataset.test),
            n_parameters=n_parameters,
            resumed_at=progress if self.resumed else None,
            store_answers=self.tracked.is_known,
        )

    def _record_inputs(self) -> None:
        """Parameters and the dataset, before the first step."""
        dataset = self.prepared.dataset
        self.tracked.log_params(self.prepared.config.params())
        splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
        profile = {
            "images": {name: len(split) for name, split in splits.items() if split is not None},
            "image_shape": dataset.image_shape,
            "classes": dataset.n_classes,
        }
        self.tracked.log_dataset(
            name=dataset.name,
            digest=dataset.digest,
            place=dataset.place,
            profile=json.dumps(profile),
            context="training",
        )
        if self.prepared.servable:
            self.tracked.begin_model(self.prepared.config.params())

    def _record_steps(self, epoch: EpochMetrics) -> None:
        """The loss of every so many steps, counted over the whole run, where that was asked for."""
        every = self.prepared.config.log_every
        if not every:
            return
        before = (epoch.epoch - 1) * len(epoch.step_losses)
        steps = range(before + 1, before + len(epoch.step_losses) + 1)
        self.tracked.log_series(
            Metric.STEP_LOSS,
            {step: float(loss) for step, loss in zip(steps, epoch.step_losses, strict=True) if step % every == 0},
        )

    def _test(self) -> tuple[Evaluation, float]:
        """The test split's figures with the final weights, and the seconds it took to get them."""
        last = self._history[-1]
        if last.held_out_name == "test":
            return last.held_out, 0.0
        from cvexp.inference.evaluate import evaluate

        dataset, device = self.prepared.dataset, self.prepared.device
        start = device.clock()
        evaluation = evaluate(
            self.prepared.model,
            dataset.test.to(device.torch),
            class_names=dataset.class_names,
            n_threads=self.prepared.placed.evaluation_threads,
            between=self._obey,
        )
        return evaluation, device.clock() - start

    def _store_artifacts(self, evaluation: Evaluation) -> None:
        """Write everything to the local disk first, the weights before all else, and hand it to the store."""
        from cvexp.errors import StorageError
        from cvexp.export import save_weights
        from cvexp.training.artifacts import write_curves, write_evaluation, write_predictions

        dataset, model = self.prepared.dataset, self.prepared.model
        weights, figures = self.tracked.folder / "weights", self.tracked.folder / "figures"
        try:
            weights.mkdir(exist_ok=True)
            figures.mkdir(exist_ok=True)
            spec = save_weights(model, weights, config=self.prepared.config, dataset=dataset)
            self.tracked.set_tags({"cvexp.weights_sha256": spec.weights_sha256})
            self.tracked.log_folder(weights, "weights")
            self._obey()
            if self.prepared.servable:
                self.tracked.log_model(weights, image_shape=dataset.image_shape, n_classes=dataset.n_classes)
            title = f"{self.tracked.name} on {dataset.name}"
            scored = f"{title}: test accuracy {evaluation.metrics.accuracy:.2%}"
            write_evaluation(figures, evaluation, dataset.class_names, title=scored)
            self._obey()
            shown = f"{title}: random test images"
            write_predictions(figures, model, dataset, device=self.prepared.device, title=shown)
            write_curves(figures, self._history, title=title)
        except OSError as error:
            raise StorageError(
                f"cannot write to {self.tracked.folder}: {error.strerror or error}",
                f"make room there, then: {self._resume_command()}",
            ) from error
        self._obey()
        self.tracked.log_folder(figures)

    def _record_outcome(self, result: TrainResult) -> None:
        """The final figures, and the description that the run's page shows."""
        from cvexp.tracking.description import description

        if result.history[-1].held_out_name == "val":  # else the last epoch's figures are the test split's
            self.tracked.log_metrics(result.evaluation.metrics.keyed("test"), step=result.config.epochs, final=True)
        # MLflow draws what has no step but 0 as bars, run beside run.
        figures = {**result.timing.keyed(), **result.size.keyed()}
        self.tracked.end("FINISHED", metrics=figures, markdown=description(result))
