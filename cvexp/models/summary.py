"""How large a model is and what its layers do: parameters, multiply-accumulates, output shapes."""

from __future__ import annotations

import contextlib
import copy
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from cvexp.errors import ModelError
from cvexp.results import ModelSize

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSummary:
    """One layer, as it was met in a forward pass of one image, or a module around layers that has something of its own.

    Attributes:
        name: Its path in the module.
        kind: Its class.
        output_shape: Of one image, without the batch dimension; empty where it did not run.
        parameters: Its own; those that an earlier layer has too are counted there.
        macs: Multiply-accumulates for one image, without those of layers within.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSummary:
    """A whole model: totals for one image, and its layers in the order they run, which add up to the totals."""

    size: ModelSize
    macs: int
    layers: tuple[LayerSummary, ...]


def model_size(model: nn.Module) -> ModelSize:
    """Count parameters, and the bytes of parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    return ModelSize(
        parameters=sum(p.numel() for p in model.parameters()),
        bytes=sum(t.numel() * t.element_size() for t in tensors),
    )


def layer_macs(model: nn.Module, image_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one image in the model's linear and convolutional layers.

    A quick count by hand, in a tenth of a millisecond: torch's own counter takes over a second to import.
    """
    model, total = _copy_of(model), 0

    def count(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal total
        positions = output[0].numel() // output.shape[1]
        total += positions * sum(p.numel() for name, p in module.named_parameters(recurse=False) if name == "weight")

    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    with _watched(model, {module: count for module in model.modules() if isinstance(module, kinds)}):
        model(torch.zeros(1, *image_shape))
    return total


def widest_output(model: nn.Module, image_shape: Sequence[int], *, device: torch.device) -> int:
    """Elements of the largest tensor that a layer makes of one image, or of the image where none is larger.

    Args:
        model: On `device`.
        image_shape: (C, H, W).
        device: Where the model is.
    """
    model, widest = _copy_of(model), math.prod(image_shape)

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal widest
        tensor = _first_tensor(output)
        widest = max(widest, 0 if tensor is None else tensor.numel())

    with _watched(model, {module: look for module in model.modules() if not list(module.children())}):
        model(torch.zeros(1, *image_shape, device=device))
    return widest


def check_output(model: nn.Module, *, name: str, image_shape: Sequence[int], n_classes: int) -> None:
    """Make sure, before anything is trained, that a model takes the images and answers with a logit for each class.

    Raises:
        ModelError: It does not; its own complaint, or the shape it gave, is named.
    """
    model = _copy_of(model)
    try:
        with _watched(model, {}):
            logits = model(torch.zeros(1, *image_shape))
    except Exception as error:  # a user's module may raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        shape = "x".join(map(str, image_shape))
        raise ModelError(f"{name} cannot take {shape} images: {reason}", "see: cvexp models") from error
    given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if given != (1, n_classes):
        raise ModelError(f"{name} answers one image with {given}, not with logits (1, {n_classes})", "one per class")


def _copy_of(model: nn.Module) -> nn.Module:
    """A copy to run an image through, since `forward` may change Python attributes.

    It is the model itself where it cannot be copied, and where the first image gives its lazy layers their shapes.
    """
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        return model
    try:
        return copy.deepcopy(model)
    except Exception:  # noqa: BLE001 - a user's attribute may raise anything
        return model


@contextlib.contextmanager
def _watched(model: nn.Module, hooks: Mapping[nn.Module, Callable[..., None]]) -> Iterator[None]:
    """The model in evaluation mode without gradients, its modules calling forward hooks; undone afterwards."""
    modes = {module: module.training for module in model.modules()}
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        model.eval()
        with torch.no_grad():
            yield
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def summarize(model: nn.Module, image_shape: Sequence[int]) -> ModelSummary:
    """Run one black image through the model and write down what each layer makes of it.

    Multiply-accumulates come from torch's own counter of floating-point operations, two of which make one;
    it counts matrix products and convolutions, and nothing for the rest.

    Args:
        model: On the CPU.
        image_shape: (C, H, W).
    """
    from torch.utils.flop_counter import FlopCounterMode

    model = _copy_of(model)
    modules = dict(model.named_modules())
    shapes: dict[str, tuple[int, ...]] = {}
    hooks = {module: _noting(shapes, name) for name, module in modules.items()}
    with _watched(model, hooks), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, *image_shape))
    flops = counter.get_flop_counts()
    root = type(model).__name__

    def macs_within(name: str) -> int:
        return int(sum(flops.get(f"{root}.{name}" if name else root, {}).values())) // 2

    counted: set[int] = set()
    layers = []
    for name in [*shapes, *(name for name in modules if name not in shapes)]:  # the last ones do not run
        module = modules[name]
        own = {id(p): p.numel() for p in module.parameters(recurse=False) if id(p) not in counted}
        counted.update(own)
        children = [f"{name}.{child}" if name else child for child, _ in module.named_children()]
        macs = max(0, macs_within(name) - sum(map(macs_within, children)))
        if own or macs or (name in shapes and not children):
            layers.append(
                LayerSummary(
                    name=name or root,
                    kind=type(module).__name__,
                    output_shape=shapes.get(name, ()),
                    parameters=sum(own.values()),
                    macs=macs,
                )
            )
    return ModelSummary(size=model_size(model), macs=counter.get_total_flops() // 2, layers=tuple(layers))


def _noting(shapes: dict[str, tuple[int, ...]], name: str) -> Callable[..., None]:
    """A forward hook that writes the output's shape down."""

    def hook(_module: nn.Module, _inputs: object, output: object) -> None:
        tensor = _first_tensor(output)
        shapes[name] = () if tensor is None else tuple(tensor.shape[1:])

    return hook


def _first_tensor(output: object) -> torch.Tensor | None:
    """A layer's output, or the first of its outputs; None where that is no tensor."""
    while isinstance(output, list | tuple) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None
