"""Steps on a copy of the model, before training: whether they can be taken, and what eager training does in them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from cvexp.device import GeneratorStates
from cvexp.engine.python_state import PythonWatch, SharedValues
from cvexp.engine.state import Unsupported
from cvexp.engine.step import train_step
from cvexp.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor, nn

    from cvexp.config import RunConfig
    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState


@contextlib.contextmanager
def without_trace(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Put back, afterwards, what trying steps on copies of `model`, which are on `device`, changes outside them."""
    shared, generators = SharedValues(model), GeneratorStates.capture(device)
    try:
        yield
    finally:
        generators.restore(device)
        shared.restore()


def check_trainable(state: TrainState, source: BatchSource, *, name: str, batch_size: int) -> None:
    """Make sure, before a run is opened, that a step can be taken on every batch of an epoch.

    Batches of one image are a case of their own; two images stand for all others. Nothing changes; a model that cannot
    be copied is taken as it is.

    Args:
        state: On the device.
        source: The training images, on the same device.
        name: The model's, for messages.
        batch_size: Images per step; the last step of an epoch takes what is left.

    Raises:
        ModelError: The model cannot be trained; its own complaint is named.
        ConfigError: It cannot be trained on a single image, and that is what the last batch has.
    """
    if not any(parameter.requires_grad for parameter in state.parameters):
        raise ModelError(f"no parameter of {name} requires a gradient: there is nothing to train", "unfreeze some")
    n_images = len(source)
    smallest = min(2, n_images % batch_size or min(n_images, batch_size))
    with without_trace(state.model, source.device):
        complaint = _complaint(state, source, smallest)
        if complaint and smallest == 1 < n_images and not _complaint(state, source, 2):
            sizes = range(max(2, batch_size), n_images + 1)
            fitting = next(size for size in sizes if n_images % size != 1)
            raise ConfigError(
                f"the last batch of an epoch would have 1 image, and {name} cannot be trained on it: {complaint}",
                f"use --batch-size {fitting}, which leaves no image alone",
            )
    if complaint:
        raise ModelError(f"{name} cannot be trained: {complaint}", "see where: cvexp --debug train …")


def check_divisible(state: TrainState, source: BatchSource, config: RunConfig, n_processes: int) -> None:
    """As `check_trainable`, for batches of which each of several processes takes a part.

    Raises:
        ModelError: See there.
        ConfigError: See there; or some batch has fewer images than there are processes, and the model takes no empty
            batch.
    """
    check_trainable(state, source, name=config.model, batch_size=config.batch_size)
    n_images, size = len(source), config.batch_size
    smallest = n_images % size or min(size, n_images)
    if smallest >= n_processes:
        return
    with without_trace(state.model, source.device):
        complaint = _complaint(state, source, 0)
    if complaint:
        sizes = range(max(size, n_processes), n_images + 1)
        fitting = next((one for one in sizes if (n_images % one or one) >= n_processes), n_images)
        raise ConfigError(
            f"--devices {n_processes}: {config.model} cannot be trained on no images, and a batch has {smallest}: "
            f"{complaint}",
            f"use --batch-size {fitting}, which leaves each process some",
        )


def draws(state: TrainState, source: BatchSource) -> bool:
    """Whether a forward pass in training draws random numbers; True where the model cannot be copied to find out."""
    with without_trace(state.model, source.device):
        images, _ = source.gather(torch.arange(min(2, len(source)), device=source.device))
        before = GeneratorStates.capture(source.device)
        try:
            with torch.no_grad():
                state.copy().model.train()(images)
        except Unsupported:
            return True
        return not GeneratorStates.capture(source.device).equals(before)


def _complaint(state: TrainState, source: BatchSource, n_images: int) -> str:
    """Why a step over the first images cannot be taken; empty where it can.

    Raises:
        MemoryError, RuntimeError: There is no memory left.
    """
    try:
        state = state.copy()
    except Unsupported:
        return ""
    state.model.train()
    images, labels = source.gather(torch.arange(n_images, device=source.device))
    try:
        logits = state.model(images)
        if not isinstance(logits, torch.Tensor):
            return f"in training mode it answers with a {type(logits).__name__}, not with logits"
        if not logits.requires_grad:
            return "its logits have no gradient, they are detached from the parameters"
        train_step(state, images, labels)
    except Exception as error:  # a user's module may raise anything
        text = str(error)
        if isinstance(error, MemoryError | torch.OutOfMemoryError) or "allocate memory" in text.lower():
            raise
        return next(iter(text.splitlines()), type(error).__name__)
    return ""


def eager_outcome(state: TrainState, batches: Sequence[tuple[Tensor, Tensor]], trained: Sequence[int]) -> list[Tensor]:
    """Train on `batches` eagerly, then evaluate once, as happens between epochs.

    Args:
        state: A copy, before its first step; it changes.
        batches: Images float32 (B, C, H, W) and their labels.
        trained: Which parameters should have a gradient in every step.

    Returns:
        The loss and the logits of each step, then the state's tensors and the generator's state after the last step.

    Raises:
        Unsupported: The model's Python state changes from step to step, or which parameters have a gradient.
    """
    model = state.model.train()
    watch = PythonWatch(model)
    found: list[Tensor] = []
    for images, labels in batches:
        found += train_step(state, images, labels)
        watch.look()
    if state.n_steps != [len(batches) if index in trained else 0 for index in range(len(state.n_steps))]:
        raise Unsupported("not every step has a gradient for the same parameters")
    found += outcome(state.tensors())
    model.eval()
    with torch.no_grad():
        model(batches[0][0])
    model.train()
    watch.look()
    return found


def outcome(tensors: Sequence[Tensor]) -> list[Tensor]:
    """Copies of a state's tensors, and the generator's state."""
    return [*(tensor.detach().clone() for tensor in tensors), torch.get_rng_state()]


def are_equal(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> bool:
    """Whether every bit is equal, NaN among the equal ones."""
    return len(ours) == len(theirs) and all(
        torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(ours, theirs, strict=True)
    )
