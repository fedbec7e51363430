"""The training step, written once, and what runs it."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from torch import Tensor

    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState
    from cvexp.optim.rules import Numbers


@dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """One process's part of a step that several processes take together.

    Attributes:
        sizes: Its images in each forward pass; 0 where a pass has fewer images than there are processes.
        divisor: Of the sum of losses over all images of the step, those of other processes among them.
        times: What the loss is multiplied with before the backward pass: as many processes average their gradients.
        without_exchange: Within it, a backward pass leaves its gradients to the pass after it, which exchanges both.
    """

    sizes: list[int]
    divisor: Tensor | int
    times: int
    without_exchange: Callable[[], AbstractContextManager[object]]


def train_step(
    state: TrainState,
    images: Tensor,
    labels: Tensor,
    coefficients: Numbers | None = None,
    *,
    share: Share | None = None,
) -> tuple[Tensor, Tensor]:
    """Forward, mean loss, backward, update; forward and backward in several passes where that is asked for.

    Args:
        state: Its model is in training mode; it changes in place.
        images: float32 (B, C, H, W), transformed.
        labels: int64 (B,) in [0, K), or float32 (B, K) class probabilities.
        coefficients: See TrainState.update.
        share: Where other processes have further images of the step: which part these are.

    Returns:
        The loss (), or what these images add to it, and the logits (B, K), by the weights before the update.
    """
    for parameter in state.parameters:
        parameter.grad = None
    size = state.options.batch_size or len(images)
    if share is not None:
        loss, logits = _in_passes(state, images, labels, share.sizes, share)
    elif len(images) <= size:
        loss, logits = _forward_backward(state, images, labels)
    else:
        divisor = state.options.loss.divisor(labels)
        whole = Share(sizes=[], divisor=divisor, times=1, without_exchange=contextlib.nullcontext)
        loss, logits = _in_passes(state, images, labels, size, whole)
    with torch.no_grad():
        state.update(coefficients)
    return loss, logits


def _in_passes(
    state: TrainState, images: Tensor, labels: Tensor, sizes: int | list[int], share: Share
) -> tuple[Tensor, Tensor]:
    """Passes of so many images each: what they add to the step's loss, and their logits."""
    *others, last = zip(torch.split(images, sizes), torch.split(labels, sizes), strict=True)
    parts = []
    for batch in others:
        with share.without_exchange():
            parts.append(_forward_backward(state, *batch, share))
    parts.append(_forward_backward(state, *last, share))
    return torch.stack([part for part, _ in parts]).sum(), torch.cat([part for _, part in parts])


def _forward_backward(
    state: TrainState, images: Tensor, labels: Tensor, share: Share | None = None
) -> tuple[Tensor, Tensor]:
    """One pass, which adds to the gradients: its loss, or what it adds to the one of the step; its logits."""
    dtype, loss_of = state.options.dtype, state.options.loss
    if dtype is None:
        logits = state.forward(images)
    else:
        with torch.autocast(images.device.type, dtype=dtype, cache_enabled=False):
            logits = state.forward(images).float()
    loss = loss_of(logits, labels) if share is None else loss_of.part(logits, labels, divisor=share.divisor)
    scaled = loss if share is None or share.times == 1 else loss * share.times
    scaled = scaled if state.scaler is None else scaled * state.scaler.scale
    scaled.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
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
