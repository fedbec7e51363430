"""The training loop: a generator that yields once per epoch, so that stopping early is a `break`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cvexp.data.batches import epoch_order
from cvexp.device import GeneratorStates, seed_everything
from cvexp.engine.evaluate import evaluate
from cvexp.engine.runners import choose_runner
from cvexp.results import EpochMetrics, EpochTiming, SplitMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.device import Device
    from cvexp.engine.steps import StepRunner

REFRESH_SECONDS = 0.5
CALL_SECONDS = 0.1
"""How long one call of a step runner should take, so that signals and progress keep their place between calls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far training has come: steps done of the epoch's steps."""

    epoch: int
    step: int
    n_steps: int


def fit(
    model: nn.Module,
    dataset: Dataset,
    *,
    config: RunConfig,
    device: Device,
    runner: StepRunner | None = None,
    evaluation_threads: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Iterator[EpochMetrics]:
    """Train `model`, yielding the figures of each epoch as it ends.

    The generators are seeded before the first epoch, and what the consumer draws between epochs does not
    change the next one.

    Args:
        model: With its initial weights, on the device.
        dataset: Its training split is learnt from; its validation split, or failing that its test split, is
            evaluated after every epoch.
        config: Optimiser, rate, batch size, epochs, seed.
        device: Where the model is and the images go.
        runner: How steps are run, made for this model and the training split; by default what `config` says.
        evaluation_threads: CPU threads for one operation of the evaluation; by default as many as torch has now.
        on_progress: Called at most twice a second, between steps.
    """
    data = dataset.to(device.torch)
    held_out = data.test if data.val is None else data.val
    if runner is None:
        runner = choose_runner(model, data.train, config).runner
    seed_everything(config.seed)
    for epoch in range(1, config.epochs + 1):
        model.train()
        start = device.clock()
        order = epoch_order(len(data.train)).to(device.torch)
        metrics, losses, first_step_seconds = _train_epoch(
            runner, order, epoch=epoch, batch_size=config.batch_size, device=device, on_progress=on_progress
        )
        trained = device.clock()
        evaluation = evaluate(model, held_out, class_names=data.class_names, n_threads=evaluation_threads)
        evaluated = device.clock()
        states = GeneratorStates.capture(device.torch)
        yield EpochMetrics(
            epoch=epoch,
            train=metrics,
            step_losses=losses.numpy(),
            held_out=evaluation,
            held_out_name="test" if data.val is None else "val",
            timing=EpochTiming(
                train_seconds=trained - start,
                evaluate_seconds=evaluated - trained,
                first_step_seconds=first_step_seconds,
            ),
        )
        states.restore(device.torch)


def _train_epoch(
    runner: StepRunner,
    order: torch.Tensor,
    *,
    epoch: int,
    batch_size: int,
    device: Device,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[SplitMetrics, torch.Tensor, float]:
    """One pass over the training images; the device is waited for after the first step and at the end.

    Returns:
        The epoch's figures; every step's mean loss, float32 (steps,), on the CPU; seconds of the first step.
    """
    n_images = len(order)
    n_steps = -(-n_images // batch_size)
    losses = torch.empty(n_steps, device=device.torch)
    start = time.perf_counter()
    n_correct = runner.run(order, losses, 0, 1)
    first_step_seconds = device.clock() - start
    done, per_call = 1, 1
    shown = start
    while done < n_steps:
        called = time.perf_counter()
        n_correct = n_correct + runner.run(order, losses, done, per_call)
        done = min(done + per_call, n_steps)
        now = time.perf_counter()
        per_step = (now - called) / per_call
        per_call = max(1, min(2 * per_call, int(CALL_SECONDS / max(per_step, 1e-9))))
        if on_progress is not None and now - shown >= REFRESH_SECONDS:
            on_progress(Progress(epoch=epoch, step=done, n_steps=n_steps))
            shown = now
    losses = losses.cpu()
    sizes = torch.full((n_steps,), batch_size, dtype=torch.float64)
    sizes[-1] = n_images - (n_steps - 1) * batch_size
    metrics = SplitMetrics(
        loss=float((losses.double() * sizes).sum()) / n_images,
        accuracy=int(n_correct) / n_images,
        n_images=n_images,
    )
    return metrics, losses, first_step_seconds
