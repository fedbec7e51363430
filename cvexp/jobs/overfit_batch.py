"""Train one batch until its loss is near zero: what a model that can learn at all does in seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from cvexp.training.out_of_memory import memory_explained
from cvexp.training.session import ONE_AT_A_TIME, prepare

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cvexp.config import RunConfig

NEAR_ZERO = 0.05
"""The loss in nats per image that is asked for, beside every image classified correctly."""

MAX_STEPS, MAX_SECONDS = 2000, 30.0

PLAIN: Mapping[str, Any] = {
    "label_smoothing": 0.0,
    "class_weights": "none",
    "schedule": "none",
    "warmup_epochs": 0.0,
    "sampler": "shuffle",
    "accumulate": 1,
    "ema": None,
    "early_stop": None,
    "keep_best": False,
    "compile": False,
    "augment": "none",
    "cache_features": False,
}
"""Options that keep the loss of a batch from coming near zero, or have no effect within it, at their defaults."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Overfit:
    """How far it came.

    Attributes:
        loss: Of the last step, in nats per image, by the weights before it.
        n_correct: Of the batch's `n_images`, likewise.
        reached: Whether the loss came near zero, with every image classified correctly.
        first_loss: Of the first step.
    """

    config: RunConfig
    n_images: int
    n_steps: int
    seconds: float
    first_loss: float
    loss: float
    n_correct: int
    reached: bool


def run(config: RunConfig, *, data_dir: Path) -> Overfit:
    """Train the first batch of the seed's order with the rate and the optimizer of `config`; no run is made.

    Raises:
        InputError: Something cannot be used as asked.
    """
    with ONE_AT_A_TIME:
        plain = replace(config, **PLAIN)
        prepared = prepare(plain, data_dir)
        import torch

        from cvexp.data.batches import epoch_order
        from cvexp.device import seed_everything, threads
        from cvexp.engine.assembly import choose_step

        data, device = prepared.dataset, prepared.device
        seed_everything(config.seed)
        chosen = epoch_order(len(data.train))[: config.batch_size]
        batch = replace(data, train=data.train.take(chosen.numpy()))
        with threads(prepared.layout.threads), memory_explained():
            runner = choose_step(prepared.model, batch, plain).runner
            prepared.model.train()
            order, losses = torch.arange(len(chosen), device=device.torch), torch.zeros(1, device=device.torch)
            seen: list[float] = []
            start, n_correct = time.monotonic(), 0
            while len(seen) < MAX_STEPS and time.monotonic() - start < MAX_SECONDS:
                n_correct = int(runner.run(order, losses, 0, 1))
                seen.append(float(losses[0]))
                if n_correct == len(chosen) and seen[-1] <= NEAR_ZERO:
                    break
    return Overfit(
        config=config,
        n_images=len(chosen),
        n_steps=len(seen),
        seconds=time.monotonic() - start,
        first_loss=seen[0],
        loss=seen[-1],
        n_correct=n_correct,
        reached=n_correct == len(chosen) and seen[-1] <= NEAR_ZERO,
    )
