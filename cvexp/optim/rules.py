"""The update rules of `torch.optim`, equal to them bit for bit, each defined once for every backend.

A rule is a fixed sequence of operators over lists of tensors, and a few numbers that change from step to step, its
coefficients. So one recording of a step serves every learning rate. The rules stand here in place of `torch.optim`
because constructing an optimizer of torch's imports torch._dynamo (1.3 s), and a step of one costs twice as much.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    from cvexp.config.optimizer import OptimizerConfig

    Number = float | Tensor
    """A float, or a 0-dimensional tensor on the parameters' device, as a CUDA graph needs it."""

    Numbers = Sequence[Number]
    Tensors = list[Tensor]
    Slots = Mapping[str, Tensors]


class Rule(Protocol):
    """How one step moves the parameters.

    Attributes:
        slots: Names of the tensors that the rule keeps for each parameter, of its shape, zeros before the first step.
            The names are those of `torch.optim`.
    """

    slots: Sequence[str]

    def coefficients(self, lr: Number, n_steps: Number) -> Numbers:
        """The numbers of one step.

        Args:
            lr: Learning rate.
            n_steps: Counted from 1, this step included.
        """
        ...

    def apply(self, parameters: Tensors, gradients: Tensors, slots: Slots, coefficients: Numbers) -> None:
        """Move `parameters` and `slots` in place, and leave `gradients` as they are; call it with gradients off.

        Every operator takes a coefficient as it is: arithmetic on it would not be part of a recording.
        """


class SGD:
    """Stochastic gradient descent with momentum and weight decay, as `torch.optim.SGD`."""

    def __init__(self, config: OptimizerConfig) -> None:
        self._momentum, self._nesterov = config.momentum, config.nesterov
        self._decay = float(config.effective("weight_decay"))
        self.slots: Sequence[str] = ("momentum_buffer",) if self._momentum else ()

    def coefficients(self, lr: Number, n_steps: Number) -> Numbers:  # noqa: ARG002 - a rule's signature
        """See Rule."""
        return (-lr,)

    def apply(self, parameters: Tensors, gradients: Tensors, slots: Slots, coefficients: Numbers) -> None:
        """See Rule."""
        gradients = _decayed(gradients, parameters, self._decay)
        if self._momentum:
            buffers = slots["momentum_buffer"]
            torch._foreach_mul_(buffers, self._momentum)
            torch._foreach_add_(buffers, gradients)
            gradients = (
                list(torch._foreach_add(gradients, buffers, alpha=self._momentum)) if self._nesterov else buffers
            )
        _add_scaled(parameters, gradients, coefficients[0])


class Adam:
    """Adam, and with decoupled weight decay AdamW, as `torch.optim.Adam` and `torch.optim.AdamW`."""

    def __init__(self, config: OptimizerConfig) -> None:
        self.slots: Sequence[str] = ("exp_avg", "exp_avg_sq")
        self._beta1, self._beta2, self._eps = config.beta1, config.beta2, config.eps
        self._decay = float(config.effective("weight_decay"))
        self._decoupled = config.optimizer == "adamw" and self._decay > 0

    def coefficients(self, lr: Number, n_steps: Number) -> Numbers:
        """See Rule."""
        scale = (1 - self._beta2**n_steps) ** 0.5
        rate = -lr / (1 - self._beta1**n_steps)
        return (scale, rate, 1 - lr * self._decay) if self._decoupled else (scale, rate)

    def apply(self, parameters: Tensors, gradients: Tensors, slots: Slots, coefficients: Numbers) -> None:
        """See Rule."""
        means, squares = slots["exp_avg"], slots["exp_avg_sq"]
        scale, rate, *kept = coefficients
        if self._decoupled:
            torch._foreach_mul_(parameters, kept[0])
        else:
            gradients = _decayed(gradients, parameters, self._decay)
        torch._foreach_lerp_(means, gradients, 1 - self._beta1)
        torch._foreach_mul_(squares, self._beta2)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self._beta2)
        roots = torch._foreach_sqrt(squares)
        torch._foreach_div_(roots, scale)
        torch._foreach_add_(roots, self._eps)
        if isinstance(rate, torch.Tensor):
            _add_scaled(parameters, list(torch._foreach_div(means, roots)), rate)
        else:
            torch._foreach_addcdiv_(parameters, means, roots, rate)


class MatricesDecayed:
    """A rule whose weight decay leaves out what has fewer than two dimensions: biases and the weights of norms.

    Args:
        decaying: Moves the parameters with two dimensions or more.
        plain: The same rule without weight decay, for the others.
    """

    def __init__(self, decaying: Rule, plain: Rule) -> None:
        self._decaying, self._plain = decaying, plain
        self.slots = decaying.slots

    def coefficients(self, lr: Number, n_steps: Number) -> Numbers:
        """See Rule."""
        return self._decaying.coefficients(lr, n_steps)

    def apply(self, parameters: Tensors, gradients: Tensors, slots: Slots, coefficients: Numbers) -> None:
        """See Rule."""
        for rule, is_matrix in ((self._decaying, True), (self._plain, False)):
            chosen = [index for index, one in enumerate(parameters) if (one.dim() > 1) is is_matrix]
            if chosen:
                own = {name: [tensors[index] for index in chosen] for name, tensors in slots.items()}
                rule.apply([parameters[n] for n in chosen], [gradients[n] for n in chosen], own, coefficients)


RULES: Mapping[str, Callable[[OptimizerConfig], Rule]] = {"sgd": SGD, "adam": Adam, "adamw": Adam}


def rule_for(config: OptimizerConfig) -> Rule:
    """The rule that `config` names, with its settings."""
    rule = RULES[config.optimizer](config)
    if config.decay == "all":
        return rule
    return MatricesDecayed(rule, RULES[config.optimizer](replace(config, weight_decay=0.0, decay="all")))


def _decayed(gradients: Tensors, parameters: Tensors, decay: float) -> Tensors:
    """The gradients of the loss with `decay` / 2 times the sum of the squared parameters added."""
    return list(torch._foreach_add(gradients, parameters, alpha=decay)) if decay else gradients


def _add_scaled(targets: Tensors, values: Tensors, scale: Number) -> None:
    """Add `scale` times `values`; a scale in a tensor is multiplied first, and so rounded once more."""
    if isinstance(scale, torch.Tensor):
        torch._foreach_add_(targets, list(torch._foreach_mul(values, scale)))
    else:
        torch._foreach_add_(targets, values, alpha=scale)
