"""From stored uint8 images to the float images that a model takes: plain data, saved with the weights.

A logged model carries this file along, so it imports torch and the standard library alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class Transform:
    """Scales pixels to [0, 1] as torchvision's ToTensor does, then standardizes each channel where that is asked for.

    Attributes:
        mean: Subtracted from each channel after scaling, C values; None leaves the channels as they are.
        std: Each channel is divided by it after that, C positive values; None together with `mean`.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if (self.mean is None) != (self.std is None) or len(self.mean or ()) != len(self.std or ()):
            raise ValueError("mean and std come together, one value for each channel")
        if not all(map(math.isfinite, (*(self.mean or ()), *(self.std or ())))) or min(self.std or (1,)) <= 0:
            raise ValueError("mean and std are finite, and std is positive")

    def __call__(self, images: Tensor, out: Tensor | None = None) -> Tensor:
        """Transform images on their own device.

        Args:
            images: uint8 (N, C, H, W).
            out: float32, of the same shape and device, to write to instead of new memory.

        Returns:
            float32 (N, C, H, W).
        """
        floats = (images.to(torch.float32) if out is None else out.copy_(images)).div_(255)
        for channel, (mean, std) in enumerate(zip(self.mean or (), self.std or (), strict=True)):
            floats[:, channel].sub_(mean).div_(std)  # numbers, since a CUDA graph cannot copy tensors from the host
        return floats
