"""Steps as they are written. Serves every model and every device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cvexp.engine.loss import n_correct
from cvexp.engine.step import train_step

if TYPE_CHECKING:
    from torch import Tensor

    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState


class EagerSteps:
    """Gathers a batch and takes a step, one after the other; see StepRunner.

    Args:
        state: On the source's device.
        source: The training images.
        batch_size: Images per step; the last step of an epoch takes what is left.
    """

    name = "eager"

    def __init__(self, state: TrainState, source: BatchSource, *, batch_size: int) -> None:
        self.state, self.source = state, source
        self._batch_size = batch_size

    def run(self, order: Tensor, losses: Tensor, start_step: int, n_steps: int) -> Tensor:
        """Run some steps of an epoch; see StepRunner."""
        found = torch.zeros((), dtype=torch.int64, device=order.device)
        start = start_step * self._batch_size
        stop = start + n_steps * self._batch_size
        batches = self.source.chunks(order, self._batch_size, start=start, stop=stop, prefetch=False)
        for step, (images, labels) in enumerate(batches, start_step):
            losses[step], logits = train_step(self.state, images, labels)
            found += n_correct(logits, labels)
        return found
