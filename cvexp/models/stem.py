"""A library's network fitted to the images: its first convolution to their channels, its stem to small ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

RGB = 3
SMALL_SIDE = 64
"""Pixels up to which images are small: a stem that divides their sides by four would leave little to look at."""

AUTO, SMALL, FULL = "auto", "small", "full"


def fit_stem(model: nn.Module, image_shape: Sequence[int], *, stem: str = FULL) -> nn.Module:
    """Fit a network for RGB images to images (C, H, W), and note what was changed as its `adaptations`.

    Args:
        model: As its library builds it, for three channels, or for these.
        image_shape: (C, H, W).
        stem: `small` replaces a ResNet's 7x7 convolution of stride 2 and its pooling by a 3x3 convolution of stride 1,
            as is common for CIFAR-10; `auto` does so for images of up to 64x64 pixels; `full` leaves it.

    Raises:
        ValueError: `stem` is none of these, or the network has no such stem.
    """
    if stem not in (AUTO, SMALL, FULL):
        raise ValueError(f"stem={stem} is not {AUTO}, {SMALL} or {FULL}")
    channels, height, width = image_shape
    notes = []
    if stem == SMALL or (stem == AUTO and max(height, width) <= SMALL_SIDE and _wide_stem(model) is not None):
        _make_small(model)
        notes.append("its stem is a 3x3 convolution of stride 1 without pooling (--model-arg stem=full: as published)")
    if channels != RGB:
        _set_channels(model, channels)
        notes.append(f"its first convolution takes {channels} channel{'s' if channels > 1 else ''} instead of {RGB}")
    model.adaptations = tuple(notes)  # type: ignore[assignment]  # an attribute like any other
    return model


def input_weights(weights: torch.Tensor, channels: int) -> torch.Tensor:
    """A convolution's weights for RGB, (O, 3, h, w), made into (O, C, h, w) for `channels`, as timm does.

    For one channel they are summed, so that a grey image gives what it gives as RGB; for others they are repeated, and
    scaled to keep the size of the outputs.
    """
    if channels == 1:
        return weights.sum(dim=1, keepdim=True)
    repeated = weights.repeat(1, -(-channels // RGB), 1, 1)[:, :channels]
    return repeated * (RGB / channels)


def _wide_stem(model: nn.Module) -> nn.Conv2d | None:
    """A ResNet's first convolution, if it halves the sides and a pooling halves them again."""
    convolution = getattr(model, "conv1", None)
    is_wide = isinstance(convolution, nn.Conv2d) and convolution.stride == (2, 2)
    return convolution if is_wide and isinstance(getattr(model, "maxpool", None), nn.MaxPool2d) else None


def _make_small(model: nn.Module) -> None:
    wide = _wide_stem(model)
    if wide is None:
        raise ValueError(f"stem={SMALL}: it has no convolution of stride 2 with a pooling behind it")
    convolution = nn.Conv2d(wide.in_channels, wide.out_channels, 3, stride=1, padding=1, bias=wide.bias is not None)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")  # as ResNets begin
    model.conv1, model.maxpool = convolution, nn.Identity()


def _first_convolution(model: nn.Module) -> tuple[str, nn.Conv2d]:
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return name, module
    raise ValueError("it has no convolution to fit to the channels")


def _set_channels(model: nn.Module, channels: int) -> None:
    """Let the first convolution take `channels`, with initial weights made from those for RGB."""
    name, old = _first_convolution(model)
    if old.in_channels == channels:  # its library fitted it
        return
    if old.in_channels != RGB or old.groups != 1:
        raise ValueError(f"its first convolution takes {old.in_channels} channels, and can be fitted only from {RGB}")
    new = type(old)(
        channels,
        old.out_channels,
        kernel_size=old.kernel_size,  # type: ignore[arg-type]  # a tuple, as it is stored
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        dilation=old.dilation,  # type: ignore[arg-type]
        bias=old.bias is not None,
        padding_mode=old.padding_mode,
    )
    with torch.no_grad():
        new.weight.copy_(input_weights(old.weight, channels))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    parent, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(parent), attribute, new)
