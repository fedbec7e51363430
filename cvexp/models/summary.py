"""How large a model is and what its layers do: parameters, multiply-accumulates, output shapes."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from cvexp.errors import ModelError
from cvexp.results import ModelSize

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Hooks = Mapping[nn.Module, Callable[..., None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSummary:
    """One layer in a forward pass of one image, or a module with parameters or MACs besides those of its layers.

    In a summary of less depth it stands for a block: all that is within.

    Attributes:
        input_shape: Without the batch dimension; empty where the layer did not run.
        output_shape: Likewise.
        parameters: Its own; shared ones count for the first layer that has them.
        trainable_parameters: Those of them that have a gradient.
        macs: Multiply-accumulates for one image, without those of layers within.
    """

    name: str
    kind: str
    input_shape: tuple[int, ...]
    output_shape: tuple[int, ...]
    parameters: int
    trainable_parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSummary:
    """A model's totals for one image, and its layers in the order they run; the layers add up to the totals.

    `blocks` are the modules that hold others, by name, without what is within them.
    """

    size: ModelSize
    macs: int
    layers: tuple[LayerSummary, ...]
    blocks: Mapping[str, LayerSummary]

    @property
    def depth(self) -> int:
        """How many names the deepest layer's has, one within the other."""
        return max((layer.name.count(".") + 1 for layer in self.layers), default=1)

    def at_depth(self, depth: int) -> tuple[LayerSummary, ...]:
        """The layers, with those that lie deeper added up to the block at that depth; the totals are the same."""
        found: dict[str, LayerSummary] = {}
        for layer in self.layers:
            name = ".".join(layer.name.split(".")[:depth])
            if name not in self.blocks:
                found[name] = layer
                continue
            so_far = found.get(name, self.blocks[name])
            found[name] = replace(
                so_far,
                parameters=so_far.parameters + layer.parameters,
                trainable_parameters=so_far.trainable_parameters + layer.trainable_parameters,
                macs=so_far.macs + layer.macs,
            )
        return tuple(found.values())


def model_size(model: nn.Module) -> ModelSize:
    """Count parameters, and the bytes of parameters and buffers."""
    parameters, buffers = list(model.parameters()), list(model.buffers())
    return ModelSize(
        parameters=sum(p.numel() for p in parameters),
        trainable_parameters=sum(p.numel() for p in parameters if p.requires_grad),
        bytes=sum(t.numel() * t.element_size() for t in (*parameters, *buffers)),
    )


def layer_macs(model: nn.Module, image_shape: Sequence[int]) -> int:
    """Multiply-accumulates of one image in the model's linear and convolutional layers.

    Counted with forward hooks, in 0.1 ms; torch's own counter takes over a second to import.
    """
    macs: list[int] = []

    def count(module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        positions = output[0].numel() // output.shape[1]
        macs.extend(positions * p.numel() for name, p in module.named_parameters(recurse=False) if name == "weight")

    model = _copy_of(model)
    kinds = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
    _run(model, image_shape, {module: count for module in model.modules() if isinstance(module, kinds)})
    return sum(macs)


def widest_output(model: nn.Module, image_shape: Sequence[int], *, device: torch.device) -> int:
    """Elements of the largest tensor that a layer of a model on `device` makes of one image, or of the image itself."""
    widths = [math.prod(image_shape)]

    def measure(_module: nn.Module, _inputs: object, output: object) -> None:
        tensor = _first_tensor(output)
        widths.append(0 if tensor is None else tensor.numel())

    model = _copy_of(model)
    leaves = [module for module in model.modules() if not list(module.children())]
    _run(model, image_shape, dict.fromkeys(leaves, measure), device)
    return max(widths)


def check_output(model: nn.Module, *, name: str, image_shape: Sequence[int], n_classes: int) -> None:
    """Check before training that a model accepts the images and returns one logit per class.

    Raises:
        ModelError: It does not; the message has its own error, or the shape it returned.
    """
    try:
        logits = _run(_copy_of(model), image_shape, {})
    except Exception as error:  # a user's module may raise anything
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        shape = "x".join(map(str, image_shape))
        hint = "try other images, such as those of --image-size 224"
        raise ModelError(f"{name} cannot take {shape} images: {reason}", hint) from error
    given = tuple(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if given != (1, n_classes):
        raise ModelError(f"{name} returned {given} for one image, not logits (1, {n_classes})", "one per class")


def _copy_of(model: nn.Module) -> nn.Module:
    """A copy for a forward pass, which may change Python attributes.

    The model itself if it cannot be copied, or has lazy layers, whose shapes the first forward pass sets.
    """
    if any(map(is_lazy, [*model.parameters(), *model.buffers()])):
        return model
    try:
        return copy.deepcopy(model)
    except Exception:  # noqa: BLE001 - a user's attribute may raise anything
        return model


def _run(model: nn.Module, image_shape: Sequence[int], hooks: Hooks, device: torch.device | None = None) -> object:
    """The output for one all-zero image with forward hooks, in evaluation mode and without gradients."""
    modes = {module: module.training for module in model.modules()}
    handles = [module.register_forward_hook(hook) for module, hook in hooks.items()]
    try:
        model.eval()
        with torch.no_grad():
            return model(torch.zeros(1, *image_shape, device=device))
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes.items():
            module.training = mode


def summarize(model: nn.Module, image_shape: Sequence[int]) -> ModelSummary:
    """Run one all-zero image through a model on the CPU and record each layer's shapes and cost.

    Multiply-accumulates are half of what torch's `FlopCounterMode` counts: matrix products and convolutions only.
    """
    from torch.utils.flop_counter import FlopCounterMode

    model = _copy_of(model)
    modules = dict(model.named_modules())
    shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {}
    hooks = {module: _record_shapes(shapes, name) for name, module in modules.items()}
    with FlopCounterMode(display=False) as counter:
        _run(model, image_shape, hooks)
    flops = counter.get_flop_counts()
    root = type(model).__name__

    def macs_within(name: str) -> int:
        return int(sum(flops.get(f"{root}.{name}" if name else root, {}).values())) // 2

    counted: set[int] = set()
    layers, blocks = [], {}
    for name in [*shapes, *(name for name in modules if name not in shapes)]:  # the last ones do not run
        module = modules[name]
        own = {id(p): p for p in module.parameters(recurse=False) if id(p) not in counted}
        counted.update(own)
        children = [f"{name}.{child}" if name else child for child, _ in module.named_children()]
        layer = LayerSummary(
            name=name or root,
            kind=type(module).__name__,
            input_shape=shapes.get(name, _DID_NOT_RUN)[0],
            output_shape=shapes.get(name, _DID_NOT_RUN)[1],
            parameters=sum(p.numel() for p in own.values()),
            trainable_parameters=sum(p.numel() for p in own.values() if p.requires_grad),
            macs=max(0, macs_within(name) - sum(map(macs_within, children))),
        )
        if own or layer.macs or (name in shapes and not children):
            layers.append(layer)
        if children:
            blocks[name] = replace(layer, parameters=0, trainable_parameters=0, macs=0)
    total = counter.get_total_flops() // 2
    return ModelSummary(size=model_size(model), macs=total, layers=tuple(layers), blocks=blocks)


_DID_NOT_RUN: tuple[tuple[int, ...], tuple[int, ...]] = ((), ())


def _record_shapes(shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]], name: str) -> Callable[..., None]:
    def hook(_module: nn.Module, inputs: object, output: object) -> None:
        ins, outs = (
            () if tensor is None else tuple(tensor.shape[1:]) for tensor in map(_first_tensor, (inputs, output))
        )
        shapes[name] = ins, outs

    return hook


def _first_tensor(output: object) -> torch.Tensor | None:
    """A layer's output, or the first of several; None if that is no tensor."""
    while isinstance(output, list | tuple) and output:
        output = output[0]
    return output if isinstance(output, torch.Tensor) else None
