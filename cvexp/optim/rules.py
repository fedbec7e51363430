"""The update rules of `torch.optim`, equal to them bit for bit, each defined once for every backend.

A rule is a fixed sequence of operators over lists of tensors, and a few numbers that change from step to step, its
coefficients. So one recording of a step serves every learning rate. The rules stand here in place of `torch.optim`
because constructing an optimizer of torch's imports torch._dynamo (1.3 s), and a step of one costs twice as much.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cvexp.config.optimizer import OptimizerConfig

    Number = float | Tensor
    """A float, or a 0-dimensional tensor on the parameters' device, as a CUDA graph needs it."""

    Tensors = list[Tensor]


class Rule(Protocol):
    """How one step moves the parameters.

    Attributes:
        slots: Names of the tensors that the rule keeps for each parameter, of its shape, zeros before the first step.
            The names are those of `torch.optim`.
    """

    slots: Sequence[str]

    def coefficients(self, lr: Number, n_steps: Number) -> tuple[Number, ...]:
        """The numbers of one step.

        Args:
            lr: Learning rate.
            n_steps: Counted from 1, this step included.
        """
        ...

    def apply(
        self,
        parameters: Tensors,
        gradients: Tensors,
        slots: Mapping[str, Tensors],
        coefficients: Sequence[Number],
    ) -> None:
        """Move `parameters` and `slots` in place, and leave `gradients` as they are; call it with gradients off.

        Every operator takes a coefficient as it is: arithmetic on it would not be part of a recording.
        """


class SGD:
    """Stochastic gradient descent, as `torch.optim.SGD`."""

    def __init__(self, config: OptimizerConfig) -> None:
        del config
        self.slots: Sequence[str] = ()

    def coefficients(self, lr: Number, n_steps: Number) -> tuple[Number, ...]:  # noqa: ARG002 - a rule's signature
        """See Rule."""
        return (-lr,)

    def apply(
        self,
        parameters: Tensors,
        gradients: Tensors,
        slots: Mapping[str, Tensors],  # noqa: ARG002 - a rule's signature
        coefficients: Sequence[Number],
    ) -> None:
        """See Rule."""
        _add_scaled(parameters, gradients, coefficients[0])


BETAS, EPS = (0.9, 0.999), 1e-8
"""torch's own settings of adam and adamw."""


class Adam:
    """Adam, and with decoupled weight decay AdamW, as `torch.optim.Adam` and `torch.optim.AdamW`."""

    def __init__(self, config: OptimizerConfig) -> None:
        self.slots: Sequence[str] = ("exp_avg", "exp_avg_sq")
        self._decay = 0.01 if config.optimizer == "adamw" else 0.0

    def coefficients(self, lr: Number, n_steps: Number) -> tuple[Number, ...]:
        """See Rule."""
        scale = (1 - BETAS[1] ** n_steps) ** 0.5
        rate = -lr / (1 - BETAS[0] ** n_steps)
        return (scale, rate, 1 - lr * self._decay) if self._decay else (scale, rate)

    def apply(
        self,
        parameters: Tensors,
        gradients: Tensors,
        slots: Mapping[str, Tensors],
        coefficients: Sequence[Number],
    ) -> None:
        """See Rule."""
        means, squares = slots["exp_avg"], slots["exp_avg_sq"]
        scale, rate, *kept = coefficients
        if self._decay:
            torch._foreach_mul_(parameters, kept[0])
        torch._foreach_lerp_(means, gradients, 1 - BETAS[0])
        torch._foreach_mul_(squares, BETAS[1])
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - BETAS[1])
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, scale)
        torch._foreach_add_(roots, EPS)
        if isinstance(rate, torch.Tensor):
            _add_scaled(parameters, list(torch._foreach_div(means, roots)), rate)
        else:
            torch._foreach_addcdiv_(parameters, means, roots, rate)


RULES: Mapping[str, Callable[[OptimizerConfig], Rule]] = {"sgd": SGD, "adam": Adam, "adamw": Adam}


def rule_for(config: OptimizerConfig) -> Rule:
    """The rule that `config` names, with its settings."""
    return RULES[config.optimizer](config)


def _add_scaled(targets: Tensors, values: Tensors, scale: Number) -> None:
    """Add `scale` times `values`; a scale in a tensor is multiplied first, and so rounded once more."""
    if isinstance(scale, torch.Tensor):
        torch._foreach_add_(targets, list(torch._foreach_mul(values, scale)))
    else:
        torch._foreach_add_(targets, values, alpha=scale)
