"""What a training step does besides forward, backward and its rule's update."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch

from cvexp.device import PRECISIONS
from cvexp.engine.loss import Loss, loss_for
from cvexp.optim.schedules import schedule_for

if TYPE_CHECKING:
    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.optim.schedules import Schedule


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StepOptions:
    """The options of a training step; the defaults leave a plain step.

    Attributes:
        loss: What is minimised.
        schedule: Gives the learning rate of each step; None where it stays.
        batch_size: Images of a forward pass; the gradients of several passes are summed. None: all of a step's.
        clip_norm: Largest norm of all gradients together.
        dtype: Of forward and backward passes; None for float32.
        ema: Decay of the average of the weights; None for no average.
    """

    loss: Loss = field(default_factory=Loss)
    schedule: Schedule | None = None
    batch_size: int | None = None
    clip_norm: float | None = None
    dtype: torch.dtype | None = None
    ema: float | None = None

    @property
    def is_scaled(self) -> bool:
        """Whether the loss is scaled, as float16 needs it."""
        return self.dtype is torch.float16


def steps_per_epoch(config: RunConfig, n_images: int) -> int:
    """Optimizer steps in a pass over `n_images`; the last one takes what is left."""
    return -(-n_images // config.images_per_step)


def step_options(config: RunConfig, dataset: Dataset) -> StepOptions:
    """What `config` asks for, to train on the training split of `dataset`, which is on its device."""
    return StepOptions(
        loss=loss_for(config, dataset.train.labels, n_classes=dataset.n_classes),
        schedule=schedule_for(config, steps_per_epoch=steps_per_epoch(config, len(dataset.train))),
        batch_size=config.batch_size if config.accumulate > 1 else None,
        clip_norm=config.clip_norm,
        dtype=None if config.precision == "fp32" else PRECISIONS[config.precision],
        ema=config.ema,
    )
