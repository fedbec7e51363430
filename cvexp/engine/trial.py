"""A few steps on a copy of the model: what eager training does in them, for a faster way to be compared with."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cvexp.device import GeneratorStates
from cvexp.engine.python_state import PythonWatch, SharedValues
from cvexp.engine.steps import Unsupported

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from cvexp.engine.update import Update

    Batches = Sequence[tuple[Tensor, Tensor]]


def copy_of(model: nn.Module) -> nn.Module:
    """A copy to try steps on: tensors, modes and Python attributes are its own.

    Raises:
        Unsupported: Something in the model cannot be copied.
    """
    try:
        return copy.deepcopy(model)
    except Exception as error:  # a user's attribute may raise anything
        raise Unsupported(f"the model cannot be copied: {error}") from error


@contextlib.contextmanager
def without_trace(model: nn.Module) -> Iterator[None]:
    """Put back, afterwards, what trying steps on copies of `model` changes outside them."""
    shared, generators = SharedValues(model), GeneratorStates.capture(torch.device("cpu"))
    try:
        yield
    finally:
        generators.restore(torch.device("cpu"))
        shared.restore()


def eager_outcome(model: nn.Module, batches: Batches, update: Update) -> list[Tensor]:
    """Train on `batches` as `EagerSteps` does, then evaluate once, as happens between epochs.

    Args:
        model: A copy; its weights move.
        batches: float32 (B, C, H, W) and int64 (B,).
        update: The rule, before its first step.

    Returns:
        The loss and the logits of each step, then parameters and buffers, moments, and the generator's state, as they
        are after the last step.

    Raises:
        Unsupported: The model's Python state changes from step to step.
    """
    model.train()
    parameters = list(model.parameters())
    rule = update.copied(parameters)
    watch = PythonWatch(model)
    found: list[Tensor] = []
    for images, labels in batches:
        for parameter in parameters:
            parameter.grad = None
        logits = model(images)
        loss = functional.cross_entropy(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        gradients = [gradient for parameter in parameters if (gradient := parameter.grad) is not None]
        if len(gradients) != len(rule.trained):
            raise Unsupported("not every step has a gradient for the same parameters")
        with torch.no_grad():
            rule.step(gradients)
        found += [loss.detach(), logits.detach()]
        watch.look()
    found += outcome([*parameters, *model.buffers()], rule)
    model.eval()
    with torch.no_grad():
        model(batches[0][0])
    model.train()
    watch.look()
    return found


def outcome(state: Sequence[Tensor], update: Update) -> list[Tensor]:
    """Copies of what decides how training goes on: parameters and buffers, moments, the generator's state."""
    return [*(tensor.detach().clone() for tensor in [*state, *update.means, *update.squares]), torch.get_rng_state()]


def are_equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether every bit is equal, NaN among the equal ones."""
    return len(ours) == len(theirs) and all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(ours, theirs, strict=True)
    )
