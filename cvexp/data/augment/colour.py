"""What becomes of the values of pixels, by the definitions of `torchvision.transforms.v2.functional` for uint8.

Every image has parameters of its own. An operation that looks at one value at a time is a table of 256 values for each
channel, so that many of them are applied by one look-up. Sums over an image are of integers, so that no order of
summation shows, and an image comes out the same in a batch of any size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

LEVELS = 256
RGB = 3


def look_up(images: Tensor, tables: Tensor) -> Tensor:
    """Replace each value, in uint8 (B, C, H, W), by what the tables, uint8 (B, C, 256), have for it."""
    return tables.gather(2, images.flatten(2).to(torch.int64)).view_as(images)


def brightness(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Multiply values by 1 + `magnitudes`, float64 (B,): uint8 tables (B, C, 256)."""
    return _tables(images, _levels(images) * _factors(images, 1 + magnitudes))


def contrast(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Scale distances from the image's mean grey by 1 + `magnitudes`, float64 (B,): uint8 tables (B, C, 256)."""
    grey = _grey(images).flatten(1)
    mean = (grey.sum(1).double() / grey.shape[1]).float()[:, None, None]
    kept, rest = _factors(images, 1 + magnitudes), _factors(images, 1 - (1 + magnitudes))
    return _tables(images, _levels(images) * kept + mean * rest)


def posterize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Keep the highest bits of each value, `magnitudes` (B,) of 8: uint8 tables (B, C, 256)."""
    dropped = (8 - magnitudes.to(torch.int64)).to(images.device)[:, None, None]
    levels = torch.arange(LEVELS, device=images.device)
    return ((levels >> dropped) << dropped).to(torch.uint8).expand(-1, images.shape[1], -1)


def solarize(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Invert values from 255 times `magnitudes`, float64 (B,), on: uint8 tables (B, C, 256)."""
    levels = _levels(images)
    return _tables(images, torch.where(levels >= _factors(images, 255 * magnitudes), 255 - levels, levels))


def autocontrast(images: Tensor, _magnitudes: Tensor) -> Tensor:
    """Stretch each channel so that its darkest value becomes 0 and its brightest 255: uint8 tables (B, C, 256)."""
    low, high = (bound[:, :, None].float() for bound in images.flatten(2).aminmax(dim=2))
    scale = (high - low) * (1 / 255)
    stretched = (_levels(images) - low) / torch.where(scale > 0, scale, 1)
    return _tables(images, torch.where(scale > 0, stretched, _levels(images)))


def equalize(images: Tensor, _magnitudes: Tensor) -> Tensor:
    """Spread each channel's values so that all are equally frequent, as PIL does: uint8 tables (B, C, 256)."""
    values = images.flatten(2).to(torch.int64)
    counts = values.new_zeros(*values.shape[:2], LEVELS).scatter_add_(2, values, torch.ones_like(values))
    of_the_highest = counts.gather(2, values.amax(2, keepdim=True))
    step = (values.shape[2] - of_the_highest) // (LEVELS - 1)
    spread = (counts.cumsum(2) - counts + step // 2) // step.clamp(min=1)
    levels = torch.arange(LEVELS, device=images.device)
    return torch.where(step > 0, spread.clamp(max=LEVELS - 1), levels).to(torch.uint8)


def saturation(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Scale distances from each pixel's grey by 1 + `magnitudes`, float64 (B,).

    Images, uint8 (B, C, H, W), of other than three channels have no colour, and stay as they are.
    """
    if images.shape[1] != RGB:
        return images
    kept, rest = (_factors(images, one)[..., None] for one in (1 + magnitudes, 1 - (1 + magnitudes)))
    return _bytes(images * kept + _grey(images) * rest)


def sharpness(images: Tensor, magnitudes: Tensor) -> Tensor:
    """Scale distances from a blurred copy by 1 + `magnitudes`, float64 (B,); pixels at the edges stay as they are.

    The blur is PIL's: each pixel counts 5 of 13, and its eight neighbours 1 each. `images` are uint8 (B, C, H, W).
    """
    if min(images.shape[2:]) < 3:  # noqa: PLR2004 - the blur's size
        return images
    values = images.to(torch.int32)
    rows = values[:, :, :-2] + values[:, :, 1:-1] + values[:, :, 2:]
    inner = values[:, :, 1:-1, 1:-1]
    total = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:] + 4 * inner
    blurred = (2 * total + 13) // 26  # rounded; a sum over 13 is never half way
    out = images.clone()
    out[:, :, 1:-1, 1:-1] = _bytes(inner + (blurred - inner) * _factors(images, 1 - (1 + magnitudes))[..., None])
    return out


def _levels(images: Tensor) -> Tensor:
    """All values, float32 (256,)."""
    return torch.arange(LEVELS, device=images.device, dtype=torch.float32)


def _factors(images: Tensor, values: Tensor) -> Tensor:
    """One number for each image, on the images' device: float32 (B, 1, 1)."""
    return values.to(torch.float32).to(images.device)[:, None, None]


def _tables(images: Tensor, values: Tensor) -> Tensor:
    return _bytes(values).expand(-1, images.shape[1], -1)


def _bytes(values: Tensor) -> Tensor:
    """Values in [0, 255], rounded down."""
    return values.clamp(0, LEVELS - 1).to(torch.uint8)


def _grey(images: Tensor) -> Tensor:
    """int32 (B, 1, H, W), rounded down, with the weights of ITU-R 601-2; images that are not RGB as they are."""
    if images.shape[1] != RGB:
        return images.to(torch.int32)
    red, green, blue = images.to(torch.int32).unbind(1)
    return ((2989 * red + 5870 * green + 1140 * blue) // 10_000)[:, None]
