"""The learning-rate range test: losses while the rate grows from step to step.

After Smith, "Cyclical Learning Rates for Training Neural Networks" (2017), section 3.3.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch

from cvexp.data.batches import epoch_order
from cvexp.device import seed_everything
from cvexp.engine.backends.eager import EagerSteps
from cvexp.engine.trial import without_trace

if TYPE_CHECKING:
    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState

FIRST, LAST, N_STEPS = 1e-5, 10.0, 300
"""The rates of the first and of the last step, and how many there are at the most."""

DIVERGED = 4.0
"""How many times the lowest smoothed loss the test ends at."""

N_FLAT, FALLEN = 10, 0.95
"""Steps at the start whose rates are too small to learn, and what share of their mean loss a lower one is at most."""

_MEMORY = 0.9
"""Of the smoothed loss: each step's counts so much less than the next one's."""


def range_test(
    state: TrainState, source: BatchSource, *, images_per_step: int, seed: int
) -> tuple[list[float], list[float]]:
    """Train a copy of `state` with growing rates; neither the state nor the generators change.

    Args:
        state: Before its first step, without a schedule.
        source: The training images, on the state's device.
        images_per_step: Of each step.
        seed: Of the order of the images.

    Returns:
        The rate and the mean loss, in nats per image, of each step until the loss diverged.

    Raises:
        Unsupported: The model cannot be copied.
    """
    rates = [FIRST * (LAST / FIRST) ** (n / (N_STEPS - 1)) for n in range(N_STEPS)]
    losses: list[float] = []
    with without_trace(state.model, source.device):
        state = state.copy()
        state.model.train()
        steps = EagerSteps(state, source, batch_size=images_per_step)
        seed_everything(seed)
        n_per_epoch = -(-len(source) // images_per_step)
        found = torch.empty(n_per_epoch, device=source.device)
        for n, rate in enumerate(rates):
            if n % n_per_epoch == 0:
                source.start_epoch(n // n_per_epoch + 1)
                order = epoch_order(len(source)).to(source.device)
            state.lr.fill_(rate)
            steps.run(order, found, n % n_per_epoch, 1)
            losses.append(float(found[n % n_per_epoch]))
            smooth = smoothed(losses)
            if not math.isfinite(losses[-1]) or smooth[-1] > DIVERGED * min(smooth):
                break
    return rates[: len(losses)], losses


def smoothed(losses: list[float]) -> list[float]:
    """Exponentially weighted means of the losses up to each step, without a bias towards zero."""
    means, mean = [], 0.0
    for n, loss in enumerate(losses, 1):
        mean = _MEMORY * mean + (1 - _MEMORY) * loss
        means.append(mean / (1 - _MEMORY**n))
    return means


def suggestion(rates: list[float], losses: list[float]) -> float | None:
    """A tenth of the rate at which the smoothed loss is lowest, to two digits; None where the loss does not fall."""
    later = [value if math.isfinite(value) else math.inf for value in smoothed(losses)[N_FLAT:]]
    lowest = min(range(len(later)), key=later.__getitem__, default=0)
    if not later or later[lowest] > FALLEN * sum(losses[:N_FLAT]) / N_FLAT:
        return None
    return float(f"{rates[N_FLAT + lowest] / 10:.1e}")
