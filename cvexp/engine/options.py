"""What a training step does besides forward, backward and its rule's update."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cvexp.engine.loss import Loss, loss_for

if TYPE_CHECKING:
    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class StepOptions:
    """The options of a training step; the defaults leave a plain step.

    Attributes:
        loss: What is minimised.
    """

    loss: Loss = field(default_factory=Loss)


def step_options(config: RunConfig, dataset: Dataset) -> StepOptions:
    """What `config` asks for, to train on the training split of `dataset`, which is on its device."""
    return StepOptions(loss=loss_for(config, dataset.train.labels, n_classes=dataset.n_classes))
