"""Where each pixel of an augmented image comes from: crops, flips and affine warps, each as one gather of uint8 pixels.

Every image has parameters of its own. Sums and products are taken element by element, so that an image comes out the
same in a batch of any size. Warps take the nearest pixel and fill with black, as `affine` and `rotate` of
`torchvision.transforms.v2.functional` do by default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def flip_crop(images: Tensor, *, rows: Tensor, columns: Tensor, flips: Tensor) -> Tensor:
    """Move a window over each image, which is continued by reflection at its edges, then mirror some left to right.

    Args:
        images: uint8 (B, C, H, W).
        rows: int64 (B,), by how many pixels the window moves down; less than H either way.
        columns: int64 (B,), by how many it moves right; less than W either way.
        flips: bool (B,), which images are mirrored.

    Returns:
        uint8 (B, C, H, W).
    """
    height, width = images.shape[2:]
    y = _reflected(torch.arange(height, device=images.device) + rows[:, None], height)
    x = _reflected(torch.arange(width, device=images.device) + columns[:, None], width)
    x = torch.where(flips[:, None], x.flip(1), x)
    return _gathered(images, y[:, :, None] * width + x[:, None])


def _reflected(index: Tensor, size: int) -> Tensor:
    """Pixels beyond an edge as those on its other side; the edge itself is not repeated."""
    return (size - 1) - ((size - 1) - index.abs()).abs()


def shear_x(magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Move each row left by `magnitudes` (B,) times its distance from the top edge; see `warp`."""
    a, b = _one_and_zero(magnitudes)
    return _about(torch.stack([a, magnitudes, b, a], 1), height, width, x=-0.5, y=-0.5)


def shear_y(magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Move each column up by `magnitudes` (B,) times its distance from the left edge; see `warp`."""
    a, b = _one_and_zero(magnitudes)
    return _about(torch.stack([a, b, magnitudes, a], 1), height, width, x=-0.5, y=-0.5)


def translate_x(magnitudes: Tensor, _height: int, _width: int) -> Tensor:
    """Move images right by `magnitudes` (B,), rounded towards zero, in pixels; see `warp`."""
    a, b = _one_and_zero(magnitudes)
    return torch.stack([a, b, -magnitudes.trunc(), b, a, b], 1)


def translate_y(magnitudes: Tensor, _height: int, _width: int) -> Tensor:
    """Move images down by `magnitudes` (B,), rounded towards zero, in pixels; see `warp`."""
    a, b = _one_and_zero(magnitudes)
    return torch.stack([a, b, b, b, a, -magnitudes.trunc()], 1)


def rotate(magnitudes: Tensor, height: int, width: int) -> Tensor:
    """Turn images counter-clockwise about their centre by `magnitudes` (B,), in degrees; see `warp`."""
    angles = magnitudes.deg2rad()
    cosine, sine = angles.cos(), angles.sin()
    return _about(torch.stack([cosine, -sine, sine, cosine], 1), height, width, x=0.0, y=0.0)


def _one_and_zero(like: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ones_like(like), torch.zeros_like(like)


def _about(linear: Tensor, height: int, width: int, *, x: float, y: float) -> Tensor:
    """The maps `linear`, (B, 4), that leave the point at (x, y) of the image's size from its centre where it is."""
    a, b, c, d = linear.unbind(1)
    x, y = x * width, y * height
    return torch.stack([a, b, x - a * x - b * y, c, d, y - c * x - d * y], 1)


def warp(images: Tensor, maps: Tensor) -> Tensor:
    """Take each pixel from where an affine map of its own image says, the nearest one, and black from outside.

    Args:
        images: uint8 (B, C, H, W).
        maps: float64 (B, 6), on the CPU: a, b, c, d, e, f. A pixel whose centre is at (x, y) from the image's centre,
            x to the right and y down, is taken from (ax + by + c, dx + ey + f).

    Returns:
        uint8 (B, C, H, W).
    """
    height, width = images.shape[2:]
    a, b, c, d, e, f = maps.to(torch.float32).to(images.device)[:, :, None, None].unbind(1)
    y = (torch.arange(height, device=images.device) - (height - 1) / 2)[None, :, None]
    x = (torch.arange(width, device=images.device) - (width - 1) / 2)[None, None]
    from_x = (a * x + b * y + c + (width - 1) / 2).round().to(torch.int64)
    from_y = (d * x + e * y + f + (height - 1) / 2).round().to(torch.int64)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    return _gathered(images, torch.where(inside, from_y * width + from_x, 0)) * inside[:, None]


def _gathered(images: Tensor, index: Tensor) -> Tensor:
    """Pixels at `index`, int64 (B, H, W), in the flattened pixels of each image, the same for all channels."""
    index = index.flatten(1)[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).gather(2, index).view_as(images)
