"""The maps that each layer of a convolutional network makes of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import nn

from cvexp.inference.attribution import hooked, is_spatial

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

MOST_LAYERS, MOST_MAPS = 12, 10
"""That are shown: of a deeper network the end of each stage, of a wider layer the maps that vary most."""

Kind = Literal["convolution", "activation", "pooling", "normalization", "layer", "stage"]
_KINDS: dict[Kind, tuple[str, ...]] = {
    "convolution": ("Conv",),
    "pooling": ("Pool",),
    "normalization": ("Norm", "BatchNorm"),
    "activation": ("LU", "Sigmoid", "Hardswish", "Tanh", "Mish", "Softplus", "Threshold"),
}
FIRST: tuple[Kind, ...] = ("convolution", "normalization", "activation", "pooling")
"""Kinds of which a deeper network's first layer is shown."""

_UNCHANGED = (nn.Identity, nn.Dropout, nn.Dropout2d)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Layer:
    """What a layer, or a whole stage, made of the image.

    Attributes:
        name: As in the model.
        module: The class of the module.
        kind: What it does.
        n_maps: How many maps it has.
        shown: Which of them are in `maps`, in order.
        maps: float32 (M, h, w).
    """

    name: str
    module: str
    kind: Kind
    n_maps: int
    shown: tuple[int, ...]
    maps: npt.NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Output:
    name: str
    module: nn.Module
    maps: Tensor  # (C, h, w)

    @property
    def kind(self) -> Kind:
        if any(True for _ in self.module.children()):
            return "stage"
        name = type(self.module).__name__
        return next((kind for kind, parts in _KINDS.items() if any(part in name for part in parts)), "layer")


def feature_maps(model: nn.Module, image: Tensor) -> list[Layer]:
    """The maps of a model's layers in the order they run; none where it has no layer with maps.

    All layers are given where there are at most MOST_LAYERS. Of a deeper network it is the first convolution,
    normalization, activation and pooling, then the last output of each size. Layers that follow each other with the
    same number of maps show the same ones, so that one map can be followed through them.

    Args:
        model: In evaluation mode; from float (N, C, H, W).
        image: float32 (1, C, H, W), transformed, on the model's device.
    """
    outputs: list[_Output] = []

    def keep(name: str, module: nn.Module, output: Tensor) -> None:
        if is_spatial(output, image.shape[2:]) and not isinstance(module, _UNCHANGED):
            outputs.append(_Output(name=name, module=module, maps=output[0].detach().clone()))

    with hooked(model, keep), torch.no_grad():
        model(image)
    chosen = _chosen(outputs)
    return [
        Layer(
            name=output.name,
            module=type(output.module).__name__,
            kind=output.kind,
            n_maps=len(output.maps),
            shown=tuple(shown),
            maps=output.maps[shown].float().cpu().numpy(),
        )
        for output, shown in zip(chosen, _shown(chosen), strict=True)
    ]


def _chosen(outputs: Sequence[_Output]) -> list[_Output]:
    layers = [output for output in outputs if output.kind != "stage"]
    if len(layers) <= MOST_LAYERS:
        return layers
    first = {output.kind: output for output in reversed(layers) if output.kind in FIRST}
    sizes = [output.maps.shape[1:] for output in outputs]
    ends = [output for output, size, after in zip(outputs, sizes, [*sizes[1:], None], strict=True) if size != after]
    wanted = {id(output) for output in (*first.values(), *ends)}
    return [output for output in outputs if id(output) in wanted][:MOST_LAYERS]


def _shown(outputs: Sequence[_Output]) -> list[list[int]]:
    """The maps of each output: those that vary most in the last of the outputs with as many maps that follow it."""
    found: list[list[int]] = []
    n_maps = 0
    for output in reversed(outputs):
        if len(output.maps) == n_maps:
            found.append(found[-1])
            continue
        n_maps = len(output.maps)
        spread = output.maps.flatten(1).float().std(1)
        found.append(sorted(spread.argsort(descending=True, stable=True)[:MOST_MAPS].tolist()))
    return found[::-1]
