"""The exponential moving average of a model's weights."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor, nn

    from cvexp.optim.rules import Number


class Average:
    """The mean of a model's weights after each step, each step's weighted `decay` times the next one's.

    After t steps with weights w_1 to w_t that is (1 - decay) / (1 - decay^t) times the sum of decay^(t - i) w_i: the
    usual average without its bias towards the initial weights. Buffers of floats, such as running statistics, are
    averaged too; other buffers are the model's own.

    Args:
        model: On its device; what is averaged.
        decay: In [0, 1).

    Attributes:
        model: A copy of the model, whose weights are the average.
        tensors: Those of the copy that are averaged: trained parameters, and buffers of floats.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._original = model
        self.model = copy.deepcopy(model)
        self.tensors, self._sources = _averaged(self.model), _averaged(model)
        self.model.requires_grad_(requires_grad=False)
        self.model.zero_grad()

    def weight(self, n_steps: Number) -> Number:
        """The share of the last step's weights in the average after `n_steps` steps."""
        return (1 - self.decay) / (1 - self.decay**n_steps)

    def update(self, weight: Number) -> None:
        """Take in the weights after a step, with their `weight`; call it with gradients off."""
        if isinstance(weight, torch.Tensor):
            torch._foreach_add_(self.tensors, torch._foreach_mul(self._differences(), weight))
        else:
            torch._foreach_lerp_(self.tensors, self._sources, weight)

    def _differences(self) -> list[Tensor]:
        return list(torch._foreach_sub(self._sources, self.tensors))

    def evaluated(self) -> nn.Module:
        """The averaged model, its other buffers brought up to date."""
        for ours, theirs in zip(self.model.buffers(), self._original.buffers(), strict=True):
            if not ours.is_floating_point():
                ours.copy_(theirs)
        return self.model


def _averaged(model: nn.Module) -> list[Tensor]:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [tensor for tensor in (*trained, *model.buffers()) if tensor.is_floating_point()]
