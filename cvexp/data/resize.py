"""Fit uint8 images without torch, pixel for pixel as `Fitting` does with it.

What serves a model decodes images where torch takes too long to import, or is not installed.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt
    from PIL import Image

    from cvexp.data.fitting import Fitting, Interpolation

    Pixels = npt.NDArray[np.uint8]

_BITS = 15
"""torch stores weights as int16, scaled by the largest power of two that fits."""
_MOST_PRECISION = 22
_BLOCK = 32
"""Outputs that share one matrix product: more of them multiply by more zeros, fewer make more calls."""
_STRIP_BYTES = 2**23
"""Of float64 pixels that exist at a time, so that a large image does not take eight times its size."""
_BICUBIC = -0.5
"""The coefficient of torch's antialiased bicubic interpolation, which is Pillow's."""


def fitted_image(image: Image.Image, size: tuple[int, int], fitting: Fitting) -> Pixels:
    """An image in mode L or RGB as uint8 (1 or 3, H, W), fitted to `size`, (height, width)."""
    if image.mode == "L":
        return fitted(np.asarray(image)[None], size, fitting)
    pixels = np.frombuffer(image.tobytes("raw", "RGBX"), np.uint8)  # three channels would take Pillow longer
    colours = pixels.reshape(image.height, image.width, 4)[..., :3].transpose(2, 0, 1)
    return np.ascontiguousarray(fitted(colours, size, fitting))


def fitted(pixels: Pixels, size: tuple[int, int], fitting: Fitting) -> Pixels:
    """`pixels`, uint8 (C, H, W), fitted to `size`, (height, width), as `fitting` says."""
    here = pixels.shape[1], pixels.shape[2]
    if here == size:
        return pixels
    scaled = fitting.scaled_size(here, size)
    if scaled != here:
        pixels = resized(pixels, scaled, fitting.interpolation)
    tops = [(scaled[k] - size[k]) // 2 for k in (0, 1)]
    if fitting.resize == "pad":
        sides = [(-tops[k], size[k] - scaled[k] + tops[k]) for k in (0, 1)]
        return np.pad(pixels, [(0, 0), *sides])
    return pixels[:, tops[0] : tops[0] + size[0], tops[1] : tops[1] + size[1]]


def resized(pixels: Pixels, size: tuple[int, int], interpolation: Interpolation) -> Pixels:
    """`pixels`, uint8 (C, H, W), at `size`, (height, width), antialiased: columns first, rounded, then rows."""
    channels, height, width = pixels.shape
    if width != size[1]:
        made = np.empty((channels, height, size[1]), np.uint8)
        n_rows = max(1, _STRIP_BYTES // (8 * channels * width))
        for top in range(0, height, n_rows):
            _along_last(pixels[:, top : top + n_rows], made[:, top : top + n_rows], interpolation)
        pixels = made
    if height != size[0]:
        made = np.empty((channels, *size), np.uint8)
        n_columns = max(1, _STRIP_BYTES // (8 * channels * height))
        turned, turned_out = pixels.transpose(0, 2, 1), made.transpose(0, 2, 1)
        for left in range(0, size[1], n_columns):
            _along_last(turned[:, left : left + n_columns], turned_out[:, left : left + n_columns], interpolation)
        pixels = made
    return pixels


def _along_last(source: Pixels, out: Pixels, interpolation: Interpolation) -> None:
    """Resize the last axis of `source`, (C, R, n), to that of `out`, (C, R, m).

    Products and sums of integers below 2**53 are exact in float64, whatever the order of a matrix product.
    """
    blocks, precision = _weights(source.shape[2], out.shape[2], interpolation)
    values = source.astype(np.float64)
    for first, low, weights in blocks:
        sums = values[..., low : low + len(weights)] @ weights
        rounded = (sums.astype(np.int64) + (1 << (precision - 1))) >> precision
        out[..., first : first + weights.shape[1]] = np.clip(rounded, 0, 255)


@lru_cache(maxsize=16)  # each may take megabytes, and whoever sends images chooses their sizes
def _weights(
    n_in: int, n_out: int, interpolation: Interpolation
) -> tuple[list[tuple[int, int, npt.NDArray[np.float64]]], int]:
    """Integer weights in blocks (first output, first input, matrix), and the bits they are scaled by.

    See `_compute_index_ranges_int16_weights` in torch's UpSampleKernel.cpp.
    """
    filter_size, curve = (2, _triangle) if interpolation == "bilinear" else (4, _cubic)
    scale = n_in / n_out
    support = filter_size * 0.5 * max(scale, 1.0)
    inverse = 1.0 / scale if scale >= 1.0 else 1.0
    starts, rows = [], []
    for k in range(n_out):
        center = scale * (k + 0.5)
        start = max(int(center - support + 0.5), 0)
        size = min(int(center + support + 0.5), n_in) - start
        size = min(max(size, 0), math.ceil(support) * 2 + 1)
        row = np.array([curve((j + start - center + 0.5) * inverse) for j in range(size)])
        total = sum(row.tolist())  # in order, as torch adds them
        starts.append(start)
        rows.append(row / total if total else row)
    most = max(float(row.max(initial=0.0)) for row in rows)
    precision = next(
        (bits for bits in range(_MOST_PRECISION) if int(0.5 + most * (1 << (bits + 1))) >= 1 << _BITS), _MOST_PRECISION
    )
    whole = [np.trunc(row * (1 << precision) + np.where(row < 0, -0.5, 0.5)) for row in rows]
    blocks = []
    for first in range(0, n_out, _BLOCK):
        low, group = starts[first], whole[first : first + _BLOCK]
        ends = [start + len(row) for start, row in zip(starts[first : first + _BLOCK], group, strict=True)]
        matrix = np.zeros((max(ends) - low, len(group)))
        for column, (end, row) in enumerate(zip(ends, group, strict=True)):
            matrix[end - len(row) - low : end - low, column] = row
        blocks.append((first, low, matrix))
    return blocks, precision


def _triangle(x: float) -> float:
    return max(0.0, 1.0 - abs(x))


def _cubic(x: float) -> float:
    a, x = _BICUBIC, abs(x)
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    if x < 2.0:  # noqa: PLR2004 - where the curve ends
        return (((x - 5) * x + 8) * x - 4) * a
    return 0.0
