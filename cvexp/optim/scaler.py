"""Dynamic loss scaling, which keeps small gradients of float16 from becoming zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from torch import Tensor

FIRST_SCALE, GROWTH, BACKOFF, GROWTH_INTERVAL = 2.0**16, 2.0, 0.5, 2000
"""Defaults of `torch.amp.GradScaler`."""


class LossScaler:
    """Scales the loss, and the gradients back; the numbers are those of `torch.amp.GradScaler`.

    That class takes an optimizer of `torch.optim`, which constructs what `cvexp.optim.rules` does without.

    Args:
        device: Of the gradients.

    Attributes:
        scale: float32 (), what the loss is multiplied by.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), FIRST_SCALE, device=device)
        self._n_finite = torch.zeros((), dtype=torch.int32, device=device)

    def unscale(self, gradients: list[Tensor]) -> bool:
        """Divide `gradients` by the scale, in place, and adapt the scale for the next step.

        Returns:
            Whether all of them are finite; else the step is to be left out. The device is waited for.
        """
        overflow = torch.zeros((), device=self.scale.device)
        inverse = self.scale.reciprocal()  # exact: the scale is a power of two
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, overflow, inverse)
        torch._amp_update_scale_(self.scale, self._n_finite, overflow, GROWTH, BACKOFF, GROWTH_INTERVAL)
        return not bool(overflow)

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return {"scale": self.scale.item(), "n_finite": int(self._n_finite)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.scale.fill_(state["scale"])
        self._n_finite.fill_(state["n_finite"])
