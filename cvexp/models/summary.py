"""How large a model is and what its layers do: parameters, multiply-accumulates, output shapes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.utils.flop_counter import FlopCounterMode

from cvexp.results import ModelSize

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn
    from torch.utils.hooks import RemovableHandle


@dataclass(frozen=True, kw_only=True, slots=True)
class LayerSummary:
    """One layer, as it was met in a forward pass of one image.

    Attributes:
        name: Its path in the module.
        kind: Its class.
        output_shape: Of one image, without the batch dimension.
        parameters: Its own, counted once.
        macs: Multiply-accumulates for one image.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSummary:
    """A whole model: totals for one image, and its layers in the order they run."""

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


def summarize(model: nn.Module, image_shape: Sequence[int]) -> ModelSummary:
    """Run one black image through the model and write down what each layer makes of it.

    Multiply-accumulates come from torch's own counter of floating-point operations, two of which make one;
    it counts matrix products and convolutions, and nothing for the rest.

    Args:
        model: On the CPU.
        image_shape: (C, H, W).
    """
    leaves = {name: module for name, module in model.named_modules() if not list(module.children())}
    met: list[tuple[str, tuple[int, ...]]] = []

    def note(name: str) -> RemovableHandle:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            met.append((name, tuple(output.shape[1:])))

        handle: RemovableHandle = leaves[name].register_forward_hook(hook)
        return handle

    handles = [note(name) for name in leaves]
    was_training = model.training
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model.eval()(torch.zeros(1, *image_shape))
    finally:
        model.train(was_training)
        for handle in handles:
            handle.remove()
    flops = counter.get_flop_counts()
    root = type(model).__name__
    layers = tuple(
        LayerSummary(
            name=name,
            kind=type(leaves[name]).__name__,
            output_shape=shape,
            parameters=sum(p.numel() for p in leaves[name].parameters()),
            macs=sum(flops.get(f"{root}.{name}", {}).values()) // 2,
        )
        for name, shape in met
    )
    return ModelSummary(size=model_size(model), macs=counter.get_total_flops() // 2, layers=layers)
