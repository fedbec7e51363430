"""From uint8 images in memory to float batches, in the order torch's own DataLoader draws."""

from __future__ import annotations

import torch
from torch.utils.data import RandomSampler


def scaled(images: torch.Tensor) -> torch.Tensor:
    """uint8 images of any shape as float32 in [0, 1], on their own device, as torchvision's ToTensor scales them."""
    return images.to(torch.float32).div_(255)


def epoch_order(n_images: int) -> torch.Tensor:
    """The order in which a shuffling DataLoader with torch's default generator would go through its dataset.

    Such a loader draws twice from the default generator when a pass begins: once for its workers' seed, which it
    takes whether it has workers or not, and once for the sampler, which shuffles with that seed. The course's
    figures depend on both.

    Args:
        n_images: N.

    Returns:
        int64 (N,), a permutation.
    """
    torch.empty((), dtype=torch.int64).random_()
    return torch.tensor(list(RandomSampler(range(n_images))))
