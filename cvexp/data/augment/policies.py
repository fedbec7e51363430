"""What is done to single images: flip and crop, TrivialAugment and RandAugment.

A policy draws the parameters of a whole epoch at once, then applies them to one batch after the other. Both spaces of
operations are those of torchvision, which follows the papers' own code.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from cvexp.data.augment import colour, geometry

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor

    Draws = dict[str, Tensor]
    """Parameters by name, on the CPU: the first dimension counts the positions in the epoch's order."""

IDENTITY = "identity"
WARPS: Mapping[str, Callable[[Tensor, int, int], Tensor]] = {
    "shear x": geometry.shear_x,
    "shear y": geometry.shear_y,
    "translate x": geometry.translate_x,
    "translate y": geometry.translate_y,
    "rotate": geometry.rotate,
}
"""From magnitudes float64 (M,), height and width to maps for `geometry.warp`."""

TABLES: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": colour.brightness,
    "contrast": colour.contrast,
    "posterize": colour.posterize,
    "solarize": colour.solarize,
    "autocontrast": colour.autocontrast,
    "equalize": colour.equalize,
}
"""From images uint8 (M, C, H, W) and magnitudes float64 (M,) to tables for `colour.look_up`."""

BLENDS: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "saturation": colour.saturation,
    "sharpness": colour.sharpness,
}
"""From images uint8 (M, C, H, W) and magnitudes float64 (M,) to images."""

OPERATIONS = (IDENTITY, *WARPS, *TABLES, *BLENDS)
SIGNED = (*WARPS, "brightness", "contrast", *BLENDS)
"""Operations whose magnitudes are as often negative."""

N_LEVELS = 31
"""Strengths of an operation, from none to the strongest."""


class Policy(Protocol):
    """Changes each image by parameters of its own."""

    def draw(self, n_images: int, image_shape: Sequence[int], rng: np.random.Generator) -> Draws:
        """The parameters of an epoch for images of shape (C, H, W), by names that no policy it combines with has."""
        ...

    def apply(self, images: Tensor, drawn: Draws) -> Tensor:
        """Images uint8 (B, C, H, W), changed by the parameters of their positions; the given ones stay as they are.

        `drawn` may hold the draws of other policies too.
        """
        ...

    def described(self, drawn: Draws, position: int) -> list[str]:
        """What is done to one image, in a few words each."""
        ...


class FlipCrop:
    """Mirrors half of the images left to right; moves each by up to an eighth of its size, every shift as likely.

    The edges are continued by reflection. It is what CIFAR-10 is mostly trained with: 4 pixels of 32.
    """

    def draw(self, n_images: int, image_shape: Sequence[int], rng: np.random.Generator) -> Draws:
        """See Policy."""
        rows, columns = ((side + 4) // 8 for side in image_shape[1:])
        return {
            "rows": torch.from_numpy(rng.integers(-rows, rows + 1, n_images)),
            "columns": torch.from_numpy(rng.integers(-columns, columns + 1, n_images)),
            "flips": torch.from_numpy(rng.random(n_images) < 0.5),  # noqa: PLR2004 - half of them
        }

    def apply(self, images: Tensor, drawn: Draws) -> Tensor:
        """See Policy."""
        rows, columns, flips = (drawn[name].to(images.device) for name in ("rows", "columns", "flips"))
        return geometry.flip_crop(images, rows=rows, columns=columns, flips=flips)

    def described(self, drawn: Draws, position: int) -> list[str]:
        """See Policy."""
        moved = [f"{-int(drawn[name][position]):+d}" for name in ("columns", "rows")]
        return [f"moved by {', '.join(moved)} px", *(["then flipped"] if drawn["flips"][position] else [])]


@dataclass(frozen=True, kw_only=True, slots=True)
class RandomOperations:
    """Applies operations to each image, one after the other, all of OPERATIONS equally likely each time.

    Attributes:
        n_operations: For each image.
        level: Of each operation's strength, from 0 to N_LEVELS - 1; None draws it, all levels equally likely.
        shear: The strongest shear, as a share of the distance from the edge.
        shift: The longest translation for a side of so many pixels.
        angle: The largest rotation, in degrees.
        change: The strongest change of brightness, colour, contrast and sharpness, as a share.
        bits: The most bits that posterize takes from a value.
    """

    n_operations: int
    level: int | None
    shear: float
    shift: Callable[[int], float]
    angle: float
    change: float
    bits: int

    def draw(self, n_images: int, image_shape: Sequence[int], rng: np.random.Generator) -> Draws:
        """See Policy."""
        many = (n_images, self.n_operations)
        operations = rng.integers(len(OPERATIONS), size=many)
        levels = rng.integers(N_LEVELS, size=many) if self.level is None else np.full(many, self.level)
        magnitudes = self.magnitudes(image_shape)[operations, levels]
        signed = np.array(
            [name in WARPS or name in BLENDS or name in ("brightness", "contrast") for name in OPERATIONS]
        )
        signs = np.where(signed[operations] & (rng.random(many) < 0.5), -1.0, 1.0)  # noqa: PLR2004 - half of them
        return {"operations": torch.from_numpy(operations), "magnitudes": torch.from_numpy(magnitudes * signs)}

    def magnitudes(self, image_shape: Sequence[int]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Of each operation at each level, without signs: (len(OPERATIONS), N_LEVELS)."""
        height, width = image_shape[1:]
        strongest = {
            **dict.fromkeys(("shear x", "shear y"), self.shear),
            "translate x": self.shift(width),
            "translate y": self.shift(height),
            "rotate": self.angle,
            **dict.fromkeys(("brightness", "contrast", *BLENDS), self.change),
        }
        found = {name: torch.linspace(0, largest, N_LEVELS).double() for name, largest in strongest.items()}
        found["posterize"] = 8 - (torch.arange(N_LEVELS) / ((N_LEVELS - 1) / self.bits)).round().double()
        found["solarize"] = torch.linspace(1, 0, N_LEVELS).double()
        return torch.stack([found.get(name, torch.zeros(N_LEVELS).double()) for name in OPERATIONS]).numpy()

    def apply(self, images: Tensor, drawn: Draws) -> Tensor:
        """See Policy."""
        for operations, magnitudes in zip(drawn["operations"].t(), drawn["magnitudes"].t(), strict=True):
            images = applied(images, operations, magnitudes)
        return images

    def described(self, drawn: Draws, position: int) -> list[str]:
        """See Policy."""
        pairs = zip(drawn["operations"][position].tolist(), drawn["magnitudes"][position].tolist(), strict=True)
        return [_in_words(OPERATIONS[operation], magnitude) for operation, magnitude in pairs]


def _in_words(name: str, magnitude: float) -> str:
    value = {
        IDENTITY: "",
        "translate x": f" {int(magnitude):+d} px",
        "translate y": f" {int(magnitude):+d} px",
        "rotate": f" {magnitude:+.0f}°",
        "posterize": f" to {int(magnitude)} bits",
        "solarize": f" from {255 * magnitude:.0f}",
        "autocontrast": "",
        "equalize": "",
    }.get(name, f" {magnitude:+.0%}")
    return f"{name}{value}"


def applied(images: Tensor, operations: Tensor, magnitudes: Tensor) -> Tensor:
    """Apply one operation to each image; those of one kind are done together.

    Args:
        images: uint8 (B, C, H, W), on any device; they stay as they are.
        operations: int64 (B,), on the CPU, indices of OPERATIONS.
        magnitudes: float64 (B,), on the CPU.

    Returns:
        uint8 (B, C, H, W).
    """
    out = images.clone()
    of = {name: (operations == index).nonzero()[:, 0] for index, name in enumerate(OPERATIONS)}
    height, width = images.shape[2:]
    if len(rows := torch.cat([of[name] for name in WARPS])):
        maps = [function(magnitudes[of[name]], height, width) for name, function in WARPS.items()]
        _put(out, rows, geometry.warp(_taken(images, rows), torch.cat(maps)))
    if len(rows := torch.cat([of[name] for name in TABLES])):
        some = _taken(images, rows)
        _put(out, rows, colour.look_up(some, _tables(some, of, magnitudes)))
    for name, function in BLENDS.items():
        if len(rows := of[name]):
            _put(out, rows, function(_taken(images, rows), magnitudes[rows]))
    return out


def _taken(images: Tensor, rows: Tensor) -> Tensor:
    return images.index_select(0, rows.to(images.device))


def _put(images: Tensor, rows: Tensor, changed: Tensor) -> None:
    images.index_copy_(0, rows.to(images.device), changed)


def _tables(images: Tensor, of: Mapping[str, Tensor], magnitudes: Tensor) -> Tensor:
    """The tables of images that come in the order of TABLES."""
    parts = torch.split(images, [len(of[name]) for name in TABLES])
    pairs = zip(TABLES.items(), parts, strict=True)
    return torch.cat([function(part, magnitudes[of[name]]) for (name, function), part in pairs if len(part)])


TRIVIAL = RandomOperations(
    n_operations=1, level=None, shear=0.99, shift=lambda side: min(32.0, side), angle=135, change=0.99, bits=6
)
"""TrivialAugment, wide (Müller and Hutter, 2021, arxiv.org/abs/2103.10158).

Translations are of up to 32 pixels, as there, but never of more than the image.
"""

RANDAUGMENT = RandomOperations(
    n_operations=2, level=9, shear=0.3, shift=lambda side: 150 / 331 * side, angle=30, change=0.9, bits=4
)
"""RandAugment with N = 2 and M = 9 of 30 (Cubuk et al., 2020, arxiv.org/abs/1909.13719), as torchvision has it."""
