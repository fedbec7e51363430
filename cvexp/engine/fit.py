"""The training loop: a generator that yields once per epoch, so that stopping early is a `break`."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cvexp.data.batches import training_batches
from cvexp.device import GeneratorStates, seed_everything
from cvexp.engine.evaluate import evaluate
from cvexp.engine.steps import EagerStep, build_optimizer
from cvexp.results import EpochMetrics, EpochTiming, SplitMetrics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import nn
    from torch.utils.data import DataLoader

    from cvexp.config import RunConfig
    from cvexp.data.batches import Batch
    from cvexp.data.dataset import Dataset
    from cvexp.device import Device
    from cvexp.engine.steps import StepRunner

REFRESH_SECONDS = 0.5


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
        on_progress: Called at most twice a second, between steps.
    """
    train = dataset.train.to(device.torch)
    held_out = (dataset.test if dataset.val is None else dataset.val).to(device.torch)
    batches = training_batches(train, batch_size=config.batch_size)
    run_step = EagerStep(model, build_optimizer(model, config.optimizer, config.learning_rate))
    seed_everything(config.seed)
    for epoch in range(1, config.epochs + 1):
        model.train()
        start = device.clock()
        metrics, first_step_seconds = _train_epoch(
            run_step, batches, epoch=epoch, device=device, on_progress=on_progress
        )
        trained = device.clock()
        evaluation = evaluate(model, held_out, class_names=dataset.class_names)
        evaluated = device.clock()
        states = GeneratorStates.capture(device.torch)
        yield EpochMetrics(
            epoch=epoch,
            train=metrics,
            held_out=evaluation,
            held_out_name="test" if dataset.val is None else "val",
            timing=EpochTiming(
                train_seconds=trained - start,
                evaluate_seconds=evaluated - trained,
                first_step_seconds=first_step_seconds,
            ),
        )
        states.restore(device.torch)


def _train_epoch(
    run_step: StepRunner,
    batches: DataLoader[Batch],
    *,
    epoch: int,
    device: Device,
    on_progress: Callable[[Progress], None] | None,
) -> tuple[SplitMetrics, float]:
    """One pass over the training images; the device is waited for after the first step and at the end."""
    n_steps = len(batches)
    losses = torch.empty(n_steps, device=device.torch)
    sizes = torch.empty(n_steps, dtype=torch.float64)
    n_correct = torch.zeros((), dtype=torch.int64, device=device.torch)
    start = time.perf_counter()
    first_step_seconds = 0.0
    next_refresh = start + REFRESH_SECONDS
    for step, (images, labels) in enumerate(batches):
        loss, correct = run_step(images, labels)
        losses[step] = loss
        sizes[step] = len(labels)
        n_correct += correct
        if step == 0:
            first_step_seconds = device.clock() - start
        if on_progress is not None and time.perf_counter() >= next_refresh:
            on_progress(Progress(epoch=epoch, step=step + 1, n_steps=n_steps))
            next_refresh = time.perf_counter() + REFRESH_SECONDS
    n_images = int(sizes.sum())
    loss_sum = float((losses.cpu().double() * sizes).sum())
    return SplitMetrics(
        loss=loss_sum / n_images, accuracy=int(n_correct) / n_images, n_images=n_images
    ), first_step_seconds
