"""How images of any size are made those of one size: plain data, stored with a model and applied to new images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from torch import Tensor

Resize = Literal["crop", "squeeze", "pad"]
Interpolation = Literal["bilinear", "bicubic"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Fitting:
    """Resizes images, antialiased.

    Attributes:
        resize: `crop` makes the image just cover the target and keeps its centre; for a square target, the shorter side
            is resized. `pad` makes it just fit and adds black at the shorter sides. `squeeze` gives up its proportions.
        interpolation: Of torch's `interpolate`.
    """

    resize: Resize = "squeeze"
    interpolation: Interpolation = "bilinear"

    def __call__(self, images: Tensor, size: tuple[int, int]) -> Tensor:
        """Fit images, uint8 (N, C, H, W), to `size`, (height, width); those of this size are returned as they are."""
        from torch.nn.functional import interpolate, pad

        here = images.shape[-2], images.shape[-1]
        if here == size:
            return images
        scaled = self.scaled_size(here, size)
        if scaled != here:
            # For a single channel, torch's fast path is the one of contiguous memory.
            images = interpolate(images, scaled, mode=self.interpolation, antialias=True, align_corners=False)
        tops = [(scaled[k] - size[k]) // 2 for k in (0, 1)]
        if self.resize == "pad":
            (above, left), (below, right) = [-top for top in tops], [size[k] - scaled[k] + tops[k] for k in (0, 1)]
            return pad(images, (left, right, above, below))
        return images[..., tops[0] : tops[0] + size[0], tops[1] : tops[1] + size[1]]

    def scaled_size(self, here: tuple[int, int], size: tuple[int, int]) -> tuple[int, int]:
        """(height, width) before the image is cropped or padded: both at least those of `size`, or at most."""
        if self.resize == "squeeze":
            return size
        choose = max if self.resize == "crop" else min
        ratio = choose(size[0] / here[0], size[1] / here[1])
        scaled = [max(1, round(side * ratio)) for side in here]
        return choose(scaled[0], size[0]), choose(scaled[1], size[1])
