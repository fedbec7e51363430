"""The state of a training besides its random generators: the model, and what its update rule keeps."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from cvexp.engine.options import StepOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor, nn

    from cvexp.optim.rules import Numbers, Rule


class Unsupported(Exception):  # noqa: N818 - it names a property of the model, not a fault
    """A backend cannot run the step of this model, option or device; the text says why."""


class TrainState:
    """What a training step changes.

    Args:
        model: On its device, in its memory format.
        rule: Moves the parameters.
        lr: Learning rate.
        options: What else a step does; by default nothing.

    Attributes:
        lr: float64 (), on the CPU. A schedule may write it between steps; no backend has to prepare again for it.
        parameters: All of the model's, in its order.
        n_steps: How many steps moved each of them; one without a gradient is not moved.
        slots: The tensors that the rule keeps, by name, one for each parameter; empty ones for frozen parameters.
    """

    def __init__(self, model: nn.Module, rule: Rule, *, lr: float, options: StepOptions | None = None) -> None:
        self.model, self.rule = model, rule
        self.options = options or StepOptions()
        self.lr = torch.tensor(lr, dtype=torch.float64)
        self.parameters: list[Tensor] = list(model.parameters())
        self.n_steps = [0] * len(self.parameters)
        self.slots = {name: [_slot(parameter) for parameter in self.parameters] for name in rule.slots}

    def tensors(self) -> list[Tensor]:
        """Every tensor that a step reads or changes in place: parameters, buffers, slots, and weights of classes."""
        slots = [tensor for one in self.slots.values() for tensor in one]
        weights = self.options.loss.weights
        return [*self.parameters, *self.model.buffers(), *slots, *([] if weights is None else [weights])]

    def trained(self) -> list[int]:
        """The indices of the parameters that have a gradient."""
        return [index for index, parameter in enumerate(self.parameters) if parameter.grad is not None]

    def coefficients(self, n_steps: int) -> Numbers:
        """The rule's numbers for a parameter's step number `n_steps`, counted from 1."""
        return self.rule.coefficients(self.lr.item(), n_steps)

    def update(self, coefficients: Numbers | None = None) -> None:
        """Move every parameter that has a gradient; call it with gradients off.

        Args:
            coefficients: Of this step, for all of them; the caller then counts the step. By default they follow from
                the learning rate and each parameter's own count.
        """
        trained = self.trained()
        if coefficients is not None:
            self._apply(trained, coefficients)
            return
        groups: dict[int, list[int]] = {}  # one, unless some parameters have a gradient in some steps only
        for index in trained:
            groups.setdefault(self.n_steps[index], []).append(index)
        for n, group in groups.items():
            self._apply(group, self.coefficients(n + 1))
        self.count(trained, 1)

    def count(self, trained: Sequence[int], n_steps: int) -> None:
        """Note that the parameters at the indices `trained` were moved `n_steps` times."""
        for index in trained:
            self.n_steps[index] += n_steps

    def _apply(self, group: Sequence[int], coefficients: Numbers) -> None:
        parameters = [self.parameters[index] for index in group]
        gradients = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
        slots = {name: [tensors[index] for index in group] for name, tensors in self.slots.items()}
        if group:
            self.rule.apply(parameters, gradients, slots, coefficients)

    def copy(self) -> TrainState:
        """A copy to try steps on: tensors, modes and Python attributes are its own.

        Raises:
            Unsupported: Something in the model cannot be copied.
        """
        try:
            model = copy.deepcopy(self.model)
        except Exception as error:  # a user's attribute may raise anything
            raise Unsupported(f"the model cannot be copied: {error}") from error
        state = TrainState(model, self.rule, lr=self.lr.item(), options=self.options)
        state.n_steps = list(self.n_steps)
        state.slots = {name: [tensor.clone() for tensor in tensors] for name, tensors in self.slots.items()}
        return state

    def state_dict(self) -> dict[str, Any]:
        """Copies on the CPU, and plain values, for a checkpoint."""
        return {
            "model": {name: _copied(tensor) for name, tensor in self._named().items()},
            "slots": {name: [_copied(tensor) for tensor in tensors] for name, tensors in self.slots.items()},
            "n_steps": list(self.n_steps),
            "lr": self.lr.item(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, or nothing of it.

        Raises:
            ValueError: It is of another model or rule.
            KeyError, TypeError, AttributeError: It is no such state.
        """
        named = self._named()
        pairs = [(tensor, state["model"].get(name)) for name, tensor in named.items()]
        same = named.keys() == state["model"].keys() and self.slots.keys() == state["slots"].keys()
        same = same and len(state["n_steps"]) == len(self.n_steps)
        for name, tensors in self.slots.items() if same else ():
            pairs += zip(tensors, state["slots"][name], strict=True)
        if not same or any(ours.shape != theirs.shape for ours, theirs in pairs):
            raise ValueError("the state is of another model or optimizer")
        with torch.no_grad():
            for ours, theirs in pairs:
                ours.copy_(theirs)
        self.n_steps = [int(n) for n in state["n_steps"]]
        self.lr.fill_(state["lr"])

    def _named(self) -> dict[str, Tensor]:
        """Parameters and buffers, also those that the model's own state_dict leaves out."""
        return {**dict(self.model.named_parameters()), **dict(self.model.named_buffers())}


def _slot(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.requires_grad else parameter.new_empty(0)


def _copied(tensor: Tensor) -> Tensor:
    return tensor.detach().to("cpu", copy=True)
