"""How one optimiser step is run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import nn

    from cvexp.config import OptimizerName


class StepRunner(Protocol):
    """Runs one optimiser step on one batch."""

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Move the weights once.

        Args:
            images: float (B, C, H, W) in [0, 1].
            labels: int64 (B,).

        Returns:
            The batch's mean loss, float (), and its count of correct images, int64 (), both still on the device.
        """
        ...


class EagerStep:
    """The step as it is written: forward, loss, backward, update. Serves every model and every option."""

    def __init__(self, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
        self._model = model
        self._optimizer = optimizer

    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Move the weights once; nothing here waits for the device."""
        logits = self._model(images)
        loss = functional.cross_entropy(logits, labels)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()
        return loss.detach(), (logits.detach().argmax(dim=1) == labels).sum()


def build_optimizer(model: nn.Module, name: OptimizerName, lr: float) -> torch.optim.Optimizer:
    """The optimiser called `name` with torch's own settings besides the rate."""
    kinds: dict[OptimizerName, type[torch.optim.Optimizer]] = {
        "sgd": torch.optim.SGD,
        "adam": torch.optim.Adam,
        "adamw": torch.optim.AdamW,
    }
    return kinds[name](model.parameters(), lr=lr)  # type: ignore[call-arg]  # the base class takes no rate
