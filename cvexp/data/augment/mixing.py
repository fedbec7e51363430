"""What is done to pairs of images: mixup and CutMix. Labels become class probabilities.

A partner is another position of the epoch's order, so that batches of any size mix the same pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from cvexp.data.augment.policies import Draws

PARTNER, SHARE = "partner", "share"
"""int64, the position that each one is mixed with, each of them once; float32, the share of its own image in it."""


class Mixing(Protocol):
    """Mixes each image with a partner."""

    def draw(self, n_images: int, image_shape: Sequence[int], rng: np.random.Generator) -> Draws:
        """The parameters of an epoch for images of shape (C, H, W), PARTNER and SHARE among them."""
        ...

    def mix(self, images: Tensor, partners: Tensor, drawn: Draws) -> Tensor:
        """float32 (B, C, H, W), from two of the same; `drawn` is on their device."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Mixup:
    """Weighted means of two images, the weights from Beta(alpha, alpha) (Zhang et al., 2018, arxiv.org/abs/1710.09412).

    Each image has a weight of its own, where the paper draws one for a batch.
    """

    alpha: float

    def draw(self, n_images: int, _image_shape: Sequence[int], rng: np.random.Generator) -> Draws:
        """See Mixing."""
        partner = torch.from_numpy(rng.permutation(n_images))
        return {PARTNER: partner, SHARE: torch.from_numpy(rng.beta(self.alpha, self.alpha, n_images)).float()}

    def mix(self, images: Tensor, partners: Tensor, drawn: Draws) -> Tensor:
        """See Mixing."""
        share = drawn[SHARE][:, None, None, None]
        return share * images + (1 - share) * partners


@dataclass(frozen=True, kw_only=True, slots=True)
class CutMix:
    """A rectangle of the partner pasted into the image (Yun et al., 2019, arxiv.org/abs/1905.04899).

    Its area is 1 - Beta(alpha, alpha) of the image, its centre anywhere; what lies outside is cut off, and the label's
    share is that of the pixels that are left. Each image has a rectangle of its own, where the paper draws one for a
    batch.
    """

    alpha: float

    def draw(self, n_images: int, image_shape: Sequence[int], rng: np.random.Generator) -> Draws:
        """See Mixing. The rectangle has the rows from `top` to before `bottom`, columns likewise; all int64."""
        height, width = image_shape[1:]
        partner = torch.from_numpy(rng.permutation(n_images))
        half = 0.5 * np.sqrt(1 - rng.beta(self.alpha, self.alpha, n_images))
        sides = {}
        for size, first, last in ((height, "top", "bottom"), (width, "left", "right")):
            centre, reach = rng.integers(size, size=n_images), (half * size).astype(np.int64)
            sides[first], sides[last] = np.maximum(centre - reach, 0), np.minimum(centre + reach, size)
        area = (sides["bottom"] - sides["top"]) * (sides["right"] - sides["left"])
        box = {name: torch.from_numpy(values) for name, values in sides.items()}
        return {PARTNER: partner, SHARE: torch.from_numpy(1 - area / (height * width)).float(), **box}

    def mix(self, images: Tensor, partners: Tensor, drawn: Draws) -> Tensor:
        """See Mixing."""
        top, bottom, left, right = (drawn[name][:, None] for name in ("top", "bottom", "left", "right"))
        y, x = (torch.arange(size, device=images.device) for size in images.shape[2:])
        rows, columns = (y >= top) & (y < bottom), (x >= left) & (x < right)
        return torch.where((rows[:, :, None] & columns[:, None])[:, None], partners, images)
