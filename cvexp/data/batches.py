"""From uint8 images in memory to float batches, in the order torch's own DataLoader draws."""

from __future__ import annotations

import torch


def scaled(images: torch.Tensor, out: torch.Tensor | None = None) -> torch.Tensor:
    """Images as torchvision's ToTensor scales them.

    Args:
        images: uint8, of any shape.
        out: float32, of the same shape and device, to write to instead of new memory.

    Returns:
        float32 in [0, 1], on the images' device.
    """
    return (images.to(torch.float32) if out is None else out.copy_(images)).div_(255)


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
    seed = int(torch.empty((), dtype=torch.int64).random_())
    return torch.randperm(n_images, generator=torch.Generator().manual_seed(seed))
