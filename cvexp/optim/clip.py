"""Gradient clipping by the norm of all gradients together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

_EPS = 1e-6
"""Added to the norm, as torch does."""


def clipped(gradients: list[Tensor], max_norm: float) -> list[Tensor]:
    """The gradients times what brings the L2 norm of all of them together down to `max_norm`, at most 1.

    The values are those of `torch.nn.utils.clip_grad_norm_`; the gradients themselves stay as they are.
    """
    norm = torch.linalg.vector_norm(torch.stack(list(torch._foreach_norm(gradients, 2.0))))
    share = torch.clamp(max_norm / (norm + _EPS), max=1.0)
    return list(torch._foreach_mul(gradients, share))
