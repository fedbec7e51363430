"""The state of a training besides its random generators: the model, what its update rule keeps, and its options'."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING, Any

import torch

from cvexp.engine.options import StepOptions
from cvexp.engine.snapshot import Snapshot, named_tensors, on_cpu
from cvexp.optim.clip import clipped
from cvexp.optim.ema import Average
from cvexp.optim.scaler import LossScaler

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from torch import Tensor, nn

    from cvexp.optim.rules import Number, Numbers, Rule
    from cvexp.optim.schedules import Plateau
    from cvexp.results import SplitMetrics


class Unsupported(Exception):  # noqa: N818 - it names a property of the model, not a fault
    """A backend cannot run the step of this model, option or device; the text says why."""


SCALED = "a scaled loss leaves steps out as the values of their gradients say"
"""Why a backend declines float16 whose steps are the same calls every time."""


class TrainState:
    """What a training step changes.

    Args:
        model: On its device, in its memory format.
        rule: Moves the parameters.
        lr: Learning rate; with a schedule the largest one.
        options: What else a step does; by default nothing.
        plateau: Lowers the rate as the validation loss says; None where that does not count.

    Attributes:
        lr: float64 (), on the CPU; of the last step, or without a schedule of the next one, which whoever writes it
            sets. No backend has to prepare again for it.
        parameters: All of the model's, in its order.
        n_steps: How many steps moved each of them; one without a gradient is not moved.
        n_taken: How many steps were taken, whatever they moved.
        slots: The tensors that the rule keeps, by name, one for each parameter; empty ones for frozen parameters.
        average: Of the weights; None where none is asked for.
        forward: What a step calls for the model's logits: the model, or what a backend made of it.
        scaler: Of the loss; None where it is not scaled.
        best: The weights of the best epoch so far; None where they are not kept.

    Raises:
        Unsupported: An average is asked for, and the model cannot be copied.
    """

    def __init__(
        self,
        model: nn.Module,
        rule: Rule,
        *,
        lr: float,
        options: StepOptions | None = None,
        plateau: Plateau | None = None,
    ) -> None:
        self.model, self.rule, self.plateau = model, rule, plateau
        self.forward: Callable[[Tensor], Tensor] = model
        self.options = options or StepOptions()
        self.lr = torch.tensor(lr, dtype=torch.float64)
        self.parameters: list[Tensor] = list(model.parameters())
        self.n_steps = [0] * len(self.parameters)
        self.n_taken = 0
        self.slots = {name: [_slot(parameter) for parameter in self.parameters] for name in rule.slots}
        self._largest_lr = lr
        self.best: Snapshot | None = None
        self.scaler = LossScaler(self.parameters[0].device) if self.options.is_scaled else None
        self.average: Average | None = None
        if self.options.ema is not None:
            with copying():
                self.average = Average(model, self.options.ema)

    @property
    def evaluated(self) -> nn.Module:
        """The model with the weights that are evaluated: the averaged ones where there is an average."""
        return self.model if self.average is None else self.average.evaluated()

    def tensors(self) -> list[Tensor]:
        """Every tensor that a step reads or changes in place: the model's, the rule's, the average's, the loss's."""
        slots = [tensor for one in self.slots.values() for tensor in one]
        average = [] if self.average is None else self.average.tensors
        weights = [] if self.options.loss.weights is None else [self.options.loss.weights]
        return [*self.parameters, *self.model.buffers(), *slots, *average, *weights]

    def trained(self) -> list[int]:
        """The indices of the parameters that have a gradient."""
        return [index for index, parameter in enumerate(self.parameters) if parameter.grad is not None]

    @property
    def is_scheduled(self) -> bool:
        """Whether the learning rate changes."""
        return self.options.schedule is not None or self.plateau is not None

    def rate(self, n_ahead: int) -> float:
        """The learning rate of the next step, or of the one that comes `n_ahead` steps after it."""
        if not self.is_scheduled:
            return self.lr.item()
        largest = self._largest_lr if self.plateau is None else self.plateau.lr
        schedule = self.options.schedule
        return largest if schedule is None else schedule.rate(self.n_taken + n_ahead, largest)

    def coefficients(self, index: int, n_ahead: int = 1) -> list[Numbers]:
        """The numbers of each of the next `n_ahead` steps, for parameters moved as often as the one at `index`."""
        rates = [self.rate(n) for n in range(n_ahead)] if self.is_scheduled else [self.rate(0)] * n_ahead
        moved, taken = self.n_steps[index], self.n_taken
        return [self.numbers(rate, moved + n, taken + n) for n, rate in enumerate(rates, 1)]

    def numbers(self, lr: Number, n_steps: Number, n_taken: Number) -> Numbers:
        """A step's coefficients, given its rate, and the numbers of steps that moved a parameter and that were taken.

        They are the rule's, then the average's weight if there is one.
        """
        of_rule = self.rule.coefficients(lr, n_steps)
        return of_rule if self.average is None else [*of_rule, self.average.weight(n_taken)]

    def update(self, coefficients: Numbers | None = None) -> None:
        """Move every parameter that has a gradient; call it with gradients off.

        Args:
            coefficients: Of this step, for all of them; the caller then counts the step. By default they follow from
                the learning rate and each parameter's own count.
        """
        trained = self.trained()
        if self.scaler is not None and not self.scaler.unscale(self._raw_gradients(trained)):
            self._take_average(self.coefficients(0)[0])
            self.count((), 1)
            return
        gradients = self._gradients(trained)
        if coefficients is not None:
            self._apply(trained, gradients, coefficients)
            self._take_average(coefficients)
            return
        groups: dict[int, list[int]] = {}  # one, unless some parameters have a gradient in some steps only
        for index in trained:
            groups.setdefault(self.n_steps[index], []).append(index)
        for group in groups.values():
            self._apply(group, gradients, self.coefficients(group[0])[0])
        if trained:
            self._take_average(self.coefficients(trained[0])[0])
        self.count(trained, 1)

    def count(self, trained: Sequence[int], n_steps: int) -> None:
        """Note `n_steps` steps, which moved the parameters at the indices `trained`."""
        if self.is_scheduled:
            self.lr.fill_(self.rate(n_steps - 1))
        self.n_taken += n_steps
        for index in trained:
            self.n_steps[index] += n_steps

    def _raw_gradients(self, trained: Sequence[int]) -> list[Tensor]:
        return [one for index in trained if (one := self.parameters[index].grad) is not None]

    def _gradients(self, trained: Sequence[int]) -> dict[int, Tensor]:
        """By index, what the rule gets: the gradients, scaled down where their norm is to be clipped."""
        found = self._raw_gradients(trained)
        if found and self.options.clip_norm is not None:
            found = clipped(found, self.options.clip_norm)
        return dict(zip(trained, found, strict=True))

    def _apply(self, group: Sequence[int], gradients: Mapping[int, Tensor], coefficients: Numbers) -> None:
        parameters = [self.parameters[index] for index in group]
        slots = {name: [tensors[index] for index in group] for name, tensors in self.slots.items()}
        if group:
            of_rule = coefficients if self.average is None else coefficients[:-1]
            self.rule.apply(parameters, [gradients[index] for index in group], slots, of_rule)

    def _take_average(self, coefficients: Numbers) -> None:
        if self.average is not None:
            self.average.update(coefficients[-1])

    def copy(self) -> TrainState:
        """A copy to try steps on: tensors, modes and Python attributes are its own.

        Raises:
            Unsupported: Something in the model cannot be copied.
        """
        with copying():
            model = copy.deepcopy(self.model)
        plateau = copy.copy(self.plateau)
        state = TrainState(model, self.rule, lr=self._largest_lr, options=self.options, plateau=plateau)
        state.lr.copy_(self.lr)
        state.n_steps, state.n_taken = list(self.n_steps), self.n_taken
        state.slots = {name: [tensor.clone() for tensor in tensors] for name, tensors in self.slots.items()}
        if self.scaler is not None and state.scaler is not None:
            state.scaler.load_state_dict(self.scaler.state_dict())
        if self.average is not None and state.average is not None:
            for ours, theirs in zip(state.average.tensors, self.average.tensors, strict=True):
                ours.copy_(theirs)
        return state

    def snapshot(self, epoch: int, figures: SplitMetrics) -> Snapshot:
        """The weights that were evaluated after `epoch`."""
        weights = {name: on_cpu(tensor) for name, tensor in named_tensors(self.evaluated).items()}
        return Snapshot(epoch=epoch, figures=figures, weights=weights)

    def take_evaluated(self) -> Snapshot | None:
        """Overwrite the model's weights with those that are tested and stored; give the best epoch's if those are."""
        weights = named_tensors(self.evaluated) if self.best is None else self.best.weights
        with torch.no_grad():
            for name, tensor in named_tensors(self.model).items():
                tensor.copy_(weights[name])
        return self.best

    def state_dict(self) -> dict[str, Any]:
        """Copies on the CPU, and plain values, for a checkpoint."""
        return {
            "model": {name: on_cpu(tensor) for name, tensor in named_tensors(self.model).items()},
            "slots": {name: [on_cpu(tensor) for tensor in tensors] for name, tensors in self.slots.items()},
            "n_steps": list(self.n_steps),
            "n_taken": self.n_taken,
            "lr": self.lr.item(),
            **({} if self.average is None else {"average": [on_cpu(tensor) for tensor in self.average.tensors]}),
            **({} if self.scaler is None else {"scaler": self.scaler.state_dict()}),
            **({} if self.best is None else {"best": self.best.to_plain()}),
            **({} if self.plateau is None else {"plateau": self.plateau.state_dict()}),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave, or nothing of it.

        Raises:
            ValueError: It is of another model or rule.
            KeyError, TypeError, AttributeError: It is no such state.
        """
        named = named_tensors(self.model)
        pairs = [(tensor, state["model"].get(name)) for name, tensor in named.items()]
        same = named.keys() == state["model"].keys() and self.slots.keys() == state["slots"].keys()
        same = same and len(state["n_steps"]) == len(self.n_steps)
        for name, tensors in self.slots.items() if same else ():
            pairs += zip(tensors, state["slots"][name], strict=True)
        if same and self.average is not None:
            pairs += zip(self.average.tensors, state["average"], strict=True)
        best = None if state.get("best") is None else Snapshot.from_plain(state["best"])
        same = same and (best is None or best.fits(named))
        if not same or any(ours.shape != theirs.shape for ours, theirs in pairs):
            raise ValueError("the state is of another model or optimizer")
        if self.plateau is not None:
            self.plateau.load_state_dict(state["plateau"])
        if self.scaler is not None:
            self.scaler.load_state_dict(state["scaler"])
        with torch.no_grad():
            for ours, theirs in pairs:
                ours.copy_(theirs)
        self.n_steps = [int(n) for n in state["n_steps"]]
        self.n_taken = int(state.get("n_taken", max(self.n_steps, default=0)))  # version 0.1 did not count
        self.lr.fill_(state["lr"])
        self.best = best


@contextlib.contextmanager
def copying() -> Iterator[None]:
    """Within the block a model is copied; what it raises becomes Unsupported."""
    try:
        yield
    except Exception as error:  # a user's attribute may raise anything
        raise Unsupported(f"the model cannot be copied: {error}") from error


def _slot(parameter: Tensor) -> Tensor:
    return torch.zeros_like(parameter) if parameter.requires_grad else parameter.new_empty(0)
