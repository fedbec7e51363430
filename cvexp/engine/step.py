"""The training step, written once, and what runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState
    from cvexp.optim.rules import Numbers


def train_step(
    state: TrainState, images: Tensor, labels: Tensor, coefficients: Numbers | None = None
) -> tuple[Tensor, Tensor]:
    """Forward, mean loss, backward, update.

    Args:
        state: Its model is in training mode; it changes in place.
        images: float32 (B, C, H, W), transformed.
        labels: int64 (B,) in [0, K), or float32 (B, K) class probabilities.
        coefficients: See TrainState.update.

    Returns:
        The loss () and the logits (B, K), by the weights before the update.
    """
    for parameter in state.parameters:
        parameter.grad = None
    logits = state.model(images)
    loss: Tensor = state.options.loss(logits, labels)
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    with torch.no_grad():
        state.update(coefficients)
    return loss.detach(), logits.detach()


class StepRunner(Protocol):
    """Runs the steps of an epoch; what a backend makes of a state and a source of batches.

    Attributes:
        name: As the user names the backend with `--step`.
        state: Changes in place.
        source: The training images.
    """

    name: str
    state: TrainState
    source: BatchSource

    def run(self, order: Tensor, losses: Tensor, start_step: int, n_steps: int) -> Tensor:
        """Run some steps of an epoch; nothing here waits for the device.

        Args:
            order: int64 (N,), the epoch's permutation of the images, on the device.
            losses: float32 (steps of the epoch,), on the device; the mean loss of each step run is written to its
                place.
            start_step: The first step, from 0.
            n_steps: How many; at the end of the epoch fewer are run.

        Returns:
            How many images were classified correctly, each by the weights before its step: int64 (), on the device.
        """
        ...
