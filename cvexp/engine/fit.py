"""The training loop: it yields once per epoch, so that stopping early is a `break`, and can be taken up anywhere."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from cvexp.contention import CpuTotal
from cvexp.data.batches import epoch_order
from cvexp.data.sampling import balanced_order
from cvexp.device import GeneratorStates, seed_everything
from cvexp.engine.assembly import choose_step
from cvexp.engine.distributed.alone import ALONE
from cvexp.engine.options import steps_per_epoch
from cvexp.engine.snapshot import named_tensors
from cvexp.errors import TrainingError, WeightsError
from cvexp.inference.evaluate import evaluate
from cvexp.inference.predictor import images_per_batch
from cvexp.optim.early_stop import is_better
from cvexp.results import EpochMetrics, EpochTiming, SplitMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor, nn

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.device import Device
    from cvexp.engine.distributed.alone import Alone
    from cvexp.engine.step import StepRunner

CALL_SECONDS = 0.1
"""How long one call of a step runner should take, so that signals and progress keep their place between calls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far training has come: steps done of the epoch's steps."""

    epoch: int
    step: int
    n_steps: int


class Fit:
    """Trains a model; iterating over it yields the figures of each epoch as it ends.

    The generators are seeded before the first epoch; what the consumer draws between epochs does not change the next.

    `held_out_logits` are those of the last evaluation, (K, N) on the device; None before it, and no part of the state.

    Args:
        model: With its initial weights, on the device.
        dataset: Its training split is learnt from; its validation split, or failing that its test split, is
            evaluated after every epoch.
        config: Optimizer, rate, batch size, epochs, seed.
        device: Where the model is and the images go.
        runner: Runs the steps, made for this model and the training split; by default what `config` says.
        evaluation_threads: CPU threads for one operation of the evaluation; by default as many as torch has.
        callback: Called between steps some ten times a second, and between the batches of an evaluation. Its time is
            in no figure; it may call `state`, and what it raises ends the training.
        seconds_before: Seconds of work before the first step that count as the first epoch's training.
        ranks: The processes that train together; the first decides whether there is another epoch.
    """

    def __init__(
        self,
        model: nn.Module,
        dataset: Dataset,
        *,
        config: RunConfig,
        device: Device,
        runner: StepRunner | None = None,
        evaluation_threads: int | None = None,
        callback: Callable[[Progress], None] | None = None,
        seconds_before: float = 0.0,
        ranks: Alone = ALONE,
    ) -> None:
        self._model, self._config, self._device, self._ranks = model, config, device, ranks
        self._is_over = False
        self._data = dataset.to(device.torch)
        self._runner = runner or choose_step(model, self._data, config).runner
        self._evaluation_batch = images_per_batch(model, dataset.image_shape, device.torch)
        self._evaluation_threads = evaluation_threads
        self._callback = callback
        self._n_images = len(self._data.train)
        self._n_steps = steps_per_epoch(config, self._n_images)
        self._losses = torch.empty(self._n_steps, device=device.torch)
        self._callback_seconds = 0.0
        self.held_out_logits: Tensor | None = None
        self._epoch = 0
        self._generators: GeneratorStates | None = None
        self._begin(1)
        self._seconds = self.seconds_before = seconds_before

    def _begin(self, epoch: int) -> None:
        """Stand at the start of an epoch."""
        self._epoch, self._step, self._n_correct = epoch, 0, 0
        self._seconds = self._first_step_seconds = 0.0
        self._cpu = CpuTotal(never_sleeps=self._device.torch.type == "cpu")
        self._start: GeneratorStates | None = None

    @property
    def progress(self) -> Progress:
        """Where training stands: in the epoch under way, or before the next one's first step."""
        return Progress(epoch=self._epoch, step=self._step, n_steps=self._n_steps)

    def state(self) -> dict[str, Any]:
        """Everything that decides how training goes on from here: copies on the CPU, and plain values."""
        here = self._generators or GeneratorStates.capture(self._device.torch)
        return {
            "epoch": self._epoch,
            "step": self._step,
            "n_correct": self._n_correct,
            "step_losses": self._losses[: self._step].to("cpu", copy=True),
            "train_seconds": self._seconds,
            "first_step_seconds": self._first_step_seconds,
            "cpu": self._cpu.plain(),
            "epoch_start": (self._start or here).to_plain(),
            "generators": here.to_plain(),
            "state": self._runner.state.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Stand where `state` was taken; the same model, data and settings are then trained to the same bits.

        Raises:
            WeightsError: The state is of another model or of other data, or no state of this version.
        """
        try:
            self._start_at(state)
            self._runner.state.load_state_dict(state["state"])
        except ValueError as error:
            raise WeightsError("the checkpoint does not fit this model and dataset", "start a new run") from error
        except (KeyError, TypeError, AttributeError, RuntimeError) as error:
            raise WeightsError("the checkpoint was not written by this version of cvexp", "start a new run") from error

    def _start_at(self, state: dict[str, Any]) -> None:
        """Take over the place in the epoch, and the generators."""
        if not 0 <= state["step"] <= self._n_steps:
            raise ValueError("the state is of other data")
        start, here = (GeneratorStates.from_plain(state[name]) for name in ("epoch_start", "generators"))
        self._begin(state["epoch"])
        self._step, self._n_correct = state["step"], state["n_correct"]
        self._losses[: self._step] = state["step_losses"].to(self._device.torch)
        self._seconds, self._first_step_seconds = state["train_seconds"], state["first_step_seconds"]
        self._cpu.go_on_from(state.get("cpu", {}))  # early versions did not count
        self._start, self._generators = start, here

    def __iter__(self) -> Iterator[EpochMetrics]:
        """Train, from where it stands to the last epoch."""
        if self._generators is None:
            seed_everything(self._config.seed)
        else:
            self._generators.restore(self._device.torch)
        while self._goes_on(self._epoch <= self._config.epochs):
            metrics = self._run_epoch()
            self._begin(self._epoch + 1)
            self._generators = GeneratorStates.capture(self._device.torch)
            yield metrics
            self._generators.restore(self._device.torch)

    def _goes_on(self, wanted: bool) -> bool:  # noqa: FBT001 - a question
        """Whether there is another epoch, as process 0 wants it."""
        self._is_over = self._is_over or not self._ranks.agreed(int(wanted))
        return not self._is_over

    def _run_epoch(self) -> EpochMetrics:
        self._model.train()
        self._cpu.start()
        order_seconds = self._device.clock()
        here = GeneratorStates.capture(self._device.torch)
        if self._start is None or not self._step:
            self._start = here
        self._start.restore(self._device.torch)
        order = self._order().to(self._device.torch)
        if self._step:
            here.restore(self._device.torch)
        self._runner.source.start_epoch(self._epoch)
        self._generators = None
        self._seconds += self._device.clock() - order_seconds
        self._train(order)
        self._cpu.stop()
        self._generators = GeneratorStates.capture(self._device.torch)  # an evaluation that is left is done again
        metrics = self._evaluated(self._train_metrics())
        self._observe(metrics)
        self._ranks.check_equal(named_tensors(self._model))
        return metrics

    def _order(self) -> Tensor:
        """The epoch's images; one plain order is drawn whatever is asked for."""
        order = self._ranks.same_order(epoch_order(self._n_images))
        if self._config.sampler == "shuffle":
            return order
        return balanced_order(self._data.train.labels.cpu(), seed=self._config.seed, epoch=self._epoch)

    def _train(self, order: Tensor) -> None:
        """Run what is left of the epoch's steps; the device is waited for after every call."""
        per_call = 1
        while self._step < self._n_steps:
            done = self._step
            start = self._device.clock()
            n_correct = self._runner.run(order, self._losses, done, per_call)
            n_run = min(per_call, self._n_steps - done)
            self._check_finite(done, n_run)
            self._n_correct += int(n_correct)
            self._step = done + n_run
            seconds = self._device.clock() - start
            self._seconds += seconds
            self._first_step_seconds = self._first_step_seconds or seconds
            n_next = max(1, min(2 * per_call, int(CALL_SECONDS * n_run / max(seconds, 1e-9))))
            per_call = self._ranks.agreed(n_next)
            self._call_back()

    def _check_finite(self, done: int, n_run: int) -> None:
        if self._config.allow_nan:
            return
        losses = self._losses[done : done + n_run].cpu()
        finite = torch.isfinite(losses)
        if not bool(finite.all()):
            index = int((~finite).int().argmax())
            raise TrainingError(
                f"the training loss is {float(losses[index])} at epoch {self._epoch}, "
                f"step {done + index + 1} of {self._n_steps}",
                "try a smaller --lr; --allow-nan goes on regardless",
            )

    def _train_metrics(self) -> SplitMetrics:
        size = self._config.images_per_step
        sizes = torch.full((self._n_steps,), size, dtype=torch.float64)
        sizes[-1] = self._n_images - (self._n_steps - 1) * size
        return SplitMetrics(
            loss=float((self._losses.cpu().double() * sizes).sum()) / self._n_images,
            accuracy=self._n_correct / self._n_images,
            n_images=self._n_images,
        )

    def _evaluated(self, train: SplitMetrics) -> EpochMetrics:
        data, state = self._data, self._runner.state
        start, before = self._device.clock(), self._callback_seconds
        evaluation = evaluate(
            state.evaluated,
            data.test if data.val is None else data.val,
            transform=data.transform,
            class_names=data.class_names,
            batch_size=self._evaluation_batch,
            n_threads=self._evaluation_threads,
            after_batch=self._call_back,
            keep_logits=self._keep_logits,
            logits_of=self._ranks.logits_by_class,
        )
        seconds = self._device.clock() - start - (self._callback_seconds - before)
        return EpochMetrics(
            epoch=self._epoch,
            train=train,
            step_losses=self._losses.cpu().numpy().copy(),
            held_out=evaluation,
            held_out_name="test" if data.val is None else "val",
            timing=EpochTiming(
                train_seconds=self._seconds,
                evaluate_seconds=seconds,
                first_step_seconds=self._first_step_seconds,
                cpu_seconds=self._cpu.cpu,
                waited_seconds=self._cpu.waited,
            ),
            lr=state.lr.item() if state.is_scheduled else None,
        )

    def _observe(self, epoch: EpochMetrics) -> None:
        """Let the state follow the validation figures where that is asked for."""
        state, figures, config = self._runner.state, epoch.held_out.metrics, self._config
        if state.plateau is not None:
            state.plateau.observe(figures.loss)
        if config.keep_best and (state.best is None or is_better(figures, state.best.figures, config.monitor)):
            state.best = state.snapshot(epoch.epoch, figures)

    def finish(self) -> int | None:
        """Put the weights into the model that are tested and stored: the best epoch's or the averaged ones, if asked.

        Returns:
            The best epoch, where its weights are the ones. The training cannot go on afterwards.
        """
        self._goes_on(wanted=False)
        best = self._runner.state.take_evaluated()
        if best is not None and best.epoch != self._epoch - 1:
            self.held_out_logits = None
        return None if best is None else best.epoch

    def _keep_logits(self, logits: Tensor) -> None:
        self.held_out_logits = logits

    def _call_back(self) -> None:
        if self._callback is not None:
            start = time.perf_counter()
            self._callback(self.progress)
            self._callback_seconds += time.perf_counter() - start
