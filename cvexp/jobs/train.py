"""Train one model on one dataset, and leave a run behind that says everything about it."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvexp.data.registry import find_spec
from cvexp.jobs.observer import Opening, Silent
from cvexp.models.registry import complete_arguments, find_entry
from cvexp.results import Conditions, Metric, Timing, TrainResult

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import nn

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.device import Device
    from cvexp.engine.placement import Placement
    from cvexp.engine.runners import Choice
    from cvexp.jobs.observer import TrainObserver
    from cvexp.results import EpochMetrics, Evaluation
    from cvexp.settings import StoreSettings
    from cvexp.tracking.run import Run
    from cvexp.tracking.store import Store


def run(
    config: RunConfig,
    settings: StoreSettings,
    *,
    data_dir: Path,
    name: str | None = None,
    command: Sequence[str] | None = None,
    started: float | None = None,
    observer: TrainObserver | None = None,
) -> TrainResult:
    """Train as `config` says and track it.

    Everything that can be checked is checked before the run is opened, so bad input leaves no run behind.

    Args:
        config: What to train, on what, how long.
        settings: Where to track it.
        data_dir: Where datasets are looked for first, and downloaded to.
        name: The run's name; by default the model's with the first digits of the run's id.
        command: What was typed, for the record; by default this process's own arguments.
        started: `time.monotonic()` when the command began, for the total time; by default now.
        observer: Told how it goes.

    Raises:
        InputError: The model, dataset, device or store cannot be used as asked.
    """
    started = time.monotonic() if started is None else started
    observer = observer or Silent()
    spec = find_spec(config.dataset)
    entry = find_entry(config.model, allow_path=True)
    # torch and mlflow take seconds to import, and a mistyped name should not have to wait for them.
    from cvexp.data.dataset import load
    from cvexp.device import choose, seed_everything, threads
    from cvexp.engine.placement import laid_out, place
    from cvexp.engine.runners import choose_runner
    from cvexp.models.registry import build
    from cvexp.models.summary import check_output
    from cvexp.tracking.context import context_tags
    from cvexp.tracking.run import open_run
    from cvexp.tracking.store import open_store

    config = replace(config, model_args=complete_arguments(config.model, entry.load(), config.model_args))
    device = choose(config.device)
    dataset = load(spec, data_dir, val_split=config.val_split, split_seed=config.split_seed, limit=config.limit)
    seed_everything(config.seed)
    model = build(
        entry,
        image_shape=dataset.image_shape,
        n_classes=dataset.n_classes,
        hidden_units=config.hidden_units,
        model_args=config.model_args,
    )
    check_output(model, name=config.model, image_shape=dataset.image_shape, n_classes=dataset.n_classes)
    placed = place(model, dataset.image_shape, batch_size=config.batch_size, device=device, n_threads=config.threads)
    device = replace(device, threads=placed.threads)
    with threads(placed.threads):
        model = laid_out(model.to(device.torch), placed)
        dataset = dataset.to(device.torch)
        steps = choose_runner(model, dataset.train, config)
        store = open_store(settings, create=True)
        conditions = _conditions(config, dataset, device, placed)
        tags = {
            **context_tags(sys.argv if command is None else command),
            "cvexp.device": str(device.torch),
            "cvexp.device_name": device.name,
            "cvexp.threads": str(placed.threads),
            "cvexp.memory_format": placed.memory_format,
            "cvexp.step_runner": f"{steps.runner.name} ({steps.reason})",
            "cvexp.comparability_key": conditions.key,
            "cvexp.conditions": conditions.to_json(),
        }
        with open_run(store, model=config.model.rpartition(":")[2], name=name, tags=tags) as tracked:
            training = _Training(
                config, dataset, device, placed, model, steps, entry.is_builtin, tracked, store, started
            )
            return training.run(observer)


def _conditions(config: RunConfig, dataset: Dataset, device: Device, placed: Placement) -> Conditions:
    import torch

    from cvexp.device import PRECISION

    split = f"val {config.val_split:g}, seed {config.split_seed}" if dataset.val is not None else "none"
    return Conditions(
        device=device.name,
        torch=torch.__version__,
        precision=PRECISION,
        threads=placed.policy,
        batch_size=config.batch_size,
        epochs=config.epochs,
        dataset=dataset.digest,
        train_images=len(dataset.train),
        split=split,
    )


@dataclass(frozen=True, slots=True)
class _Training:
    """A run under way, from the first step to the last artifact."""

    config: RunConfig
    dataset: Dataset
    device: Device
    placed: Placement
    model: nn.Module
    steps: Choice
    servable: bool
    tracked: Run
    store: Store
    started: float

    def run(self, observer: TrainObserver) -> TrainResult:
        from cvexp.engine.fit import fit
        from cvexp.models.summary import model_size

        size = model_size(self.model)
        self._record_inputs()
        observer.opened(self._opening(size.parameters))
        setup_seconds = time.monotonic() - self.started - self.tracked.seconds
        history = []
        for epoch in fit(
            self.model,
            self.dataset,
            config=self.config,
            device=self.device,
            runner=self.steps.runner,
            evaluation_threads=self.placed.evaluation_threads,
            on_progress=observer.progressed,
        ):
            history.append(epoch)
            self._record_steps(epoch)
            self.tracked.log_metrics(epoch.keyed(), step=epoch.epoch, final=epoch.epoch == self.config.epochs)
            observer.finished_epoch(epoch)
        evaluation, evaluate_seconds = self._test(history[-1])
        self._store_artifacts(history, evaluation)
        result = TrainResult(
            run_id=self.tracked.run_id,
            run_name=self.tracked.name,
            experiment_id=self.store.experiment_id,
            tracking_uri=self.store.settings.tracking_uri,
            status="FINISHED",
            config=self.config,
            device=str(self.device.torch),
            device_name=self.device.name,
            class_names=self.dataset.class_names,
            history=tuple(history),
            evaluation=evaluation,
            timing=Timing(
                setup_seconds=setup_seconds,
                first_step_seconds=history[0].timing.first_step_seconds,
                train_seconds=sum(e.timing.train_seconds for e in history),
                evaluate_seconds=sum(e.timing.evaluate_seconds for e in history) + evaluate_seconds,
                tracking_seconds=self.tracked.seconds,
                total_seconds=time.monotonic() - self.started,
            ),
            size=size,
            artifacts_uri=self.tracked.artifacts_uri,
        )
        self._record_outcome(result)
        return result

    def _opening(self, n_parameters: int) -> Opening:
        return Opening(
            run_id=self.tracked.run_id,
            run_name=self.tracked.name,
            config=self.config,
            device=str(self.device.torch),
            device_name=self.device.name,
            threads=self.device.threads,
            step_runner=self.steps.runner.name,
            dataset_place=self.dataset.place,
            n_train=len(self.dataset.train),
            n_val=0 if self.dataset.val is None else len(self.dataset.val),
            n_test=len(self.dataset.test),
            n_parameters=n_parameters,
        )

    def _record_inputs(self) -> None:
        """Parameters and the dataset, before the first step."""
        self.tracked.log_params(self.config.params())
        splits = {"train": self.dataset.train, "val": self.dataset.val, "test": self.dataset.test}
        profile = {
            "images": {name: len(split) for name, split in splits.items() if split is not None},
            "image_shape": self.dataset.image_shape,
            "classes": self.dataset.n_classes,
        }
        self.tracked.log_dataset(
            name=self.dataset.name,
            digest=self.dataset.digest,
            place=self.dataset.place,
            profile=json.dumps(profile),
            context="training",
        )
        if self.servable:
            self.tracked.begin_model(self.config.params())

    def _record_steps(self, epoch: EpochMetrics) -> None:
        """The loss of every so many steps, counted over the whole run, where that was asked for."""
        every = self.config.log_every
        if not every:
            return
        before = (epoch.epoch - 1) * len(epoch.step_losses)
        steps = range(before + 1, before + len(epoch.step_losses) + 1)
        self.tracked.log_series(
            Metric.STEP_LOSS,
            {step: float(loss) for step, loss in zip(steps, epoch.step_losses, strict=True) if step % every == 0},
        )

    def _test(self, last: EpochMetrics) -> tuple[Evaluation, float]:
        """The test split's figures with the final weights, and the seconds it took to get them."""
        if last.held_out_name == "test":
            return last.held_out, 0.0
        from cvexp.engine.evaluate import evaluate

        start = self.device.clock()
        evaluation = evaluate(
            self.model,
            self.dataset.test.to(self.device.torch),
            class_names=self.dataset.class_names,
            n_threads=self.placed.evaluation_threads,
        )
        return evaluation, self.device.clock() - start

    def _store_artifacts(self, history: Sequence[EpochMetrics], evaluation: Evaluation) -> None:
        """Write everything to the local disk first, the weights before all else, and hand it to the store."""
        from cvexp.export import save_weights
        from cvexp.jobs.artifacts import write_curves, write_evaluation, write_predictions
        from cvexp.tracking.model import write_model
        from cvexp.tracking.store import make_state_dir

        folder = make_state_dir(self.store.settings) / "runs" / self.tracked.run_id
        weights, figures = folder / "weights", folder / "figures"
        weights.mkdir(parents=True)
        figures.mkdir()
        spec = save_weights(self.model, weights, config=self.config, dataset=self.dataset)
        self.tracked.set_tags({"cvexp.weights_sha256": spec.weights_sha256})
        self.tracked.log_folder(weights, "weights")
        if self.servable:
            write_model(
                folder / "model",
                weights,
                model_id=str(self.tracked.model_id),
                run_id=self.tracked.run_id,
                image_shape=self.dataset.image_shape,
                n_classes=self.dataset.n_classes,
            )
            self.tracked.log_model(folder / "model")
        title = f"{self.tracked.name} on {self.dataset.name}"
        scored = f"{title}: test accuracy {evaluation.metrics.accuracy:.2%}"
        write_evaluation(figures, evaluation, self.dataset.class_names, title=scored)
        write_predictions(figures, self.model, self.dataset, device=self.device, title=f"{title}: random test images")
        write_curves(figures, history, title=title)
        self.tracked.log_folder(figures)
        shutil.rmtree(folder)

    def _record_outcome(self, result: TrainResult) -> None:
        """The final figures, and the description that the run's page shows."""
        from cvexp.tracking.description import description

        if result.history[-1].held_out_name == "val":  # else the last epoch's figures are the test split's
            self.tracked.log_metrics(result.evaluation.metrics.keyed("test"), step=result.config.epochs, final=True)
        # MLflow draws what has no step but 0 as bars, run beside run.
        self.tracked.log_metrics({**result.timing.keyed(), **result.size.keyed()}, step=0, final=True)
        self.tracked.describe(description(result))
