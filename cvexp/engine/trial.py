"""Steps on a copy of the model, before training: whether they can be taken, and what eager training does in them."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cvexp.data.batches import scaled
from cvexp.device import GeneratorStates
from cvexp.engine.python_state import PythonWatch, SharedValues
from cvexp.engine.steps import Unsupported
from cvexp.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from cvexp.data.dataset import Split
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
def without_trace(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put back, afterwards, what trying steps on copies of `model`, which are on `device`, changes outside them."""
    shared, generators = SharedValues(model), GeneratorStates.capture(device)
    try:
        yield
    finally:
        generators.restore(device)
        shared.restore()


def check_trainable(model: nn.Module, train: Split, *, name: str, batch_size: int) -> None:
    """Make sure, before a run is opened, that a step can be taken on every batch of an epoch.

    Batches of one image are a case of their own; two images stand for all others. Nothing changes; a model that cannot
    be copied is taken as it is.

    Args:
        model: On the device.
        train: The training split, on the same device.
        name: The model's, for messages.
        batch_size: Images per step; the last step of an epoch takes what is left.

    Raises:
        ModelError: The model cannot be trained; its own complaint is named.
        ConfigError: It cannot be trained on a single image, and that is what the last batch has.
    """
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ModelError(f"no parameter of {name} requires a gradient: there is nothing to train", "unfreeze some")
    n_images = len(train)
    smallest = min(2, n_images % batch_size or min(n_images, batch_size))
    with without_trace(model, train.images.device):
        complaint = _complaint(model, train, smallest)
        if complaint and smallest == 1 < n_images and not _complaint(model, train, 2):
            sizes = range(max(2, batch_size), n_images + 1)
            fitting = next(size for size in sizes if n_images % size != 1)
            raise ConfigError(
                f"the last batch of an epoch would have 1 image, and {name} cannot be trained on it: {complaint}",
                f"use --batch-size {fitting}, which leaves no image alone",
            )
    if complaint:
        raise ModelError(f"{name} cannot be trained: {complaint}", "see where: cvexp --debug train …")


def _complaint(model: nn.Module, train: Split, n_images: int) -> str:
    """Why a step over the first images cannot be taken; empty where it can.

    Raises:
        MemoryError, RuntimeError: There is no memory left.
    """
    try:
        model = copy_of(model).train()
    except Unsupported:
        return ""
    try:
        logits = model(scaled(train.images[:n_images]))
        if not isinstance(logits, torch.Tensor):
            return f"in training mode it answers with a {type(logits).__name__}, not with logits"
        loss = functional.cross_entropy(logits, train.labels[:n_images])
        if not loss.requires_grad:
            return "its logits have no gradient, they are detached from the parameters"
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    except Exception as error:  # a user's module may raise anything
        text = str(error)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text.lower():
            raise
        return next(iter(text.splitlines()), type(error).__name__)
    return ""


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
