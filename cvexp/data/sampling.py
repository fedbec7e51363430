"""Orders of an epoch's images other than a plain shuffle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from torch import Tensor


def balanced_order(labels: Tensor, *, seed: int, epoch: int) -> Tensor:
    """As many images as there are, drawn with replacement, each class as likely as any other.

    Args:
        labels: int64 (N,), on the CPU.
        seed: Of the run.
        epoch: Counted from 1; with `seed` it decides the draw, whatever was drawn before.

    Returns:
        int64 (N,), indices of images. Classes without images are left out.
    """
    draw = np.random.default_rng([seed, epoch])
    truth = labels.numpy()
    by_class = np.argsort(truth, kind="stable")
    counts = np.unique(truth, return_counts=True)[1]
    starts = np.cumsum(counts) - counts
    classes = draw.integers(len(counts), size=len(truth))
    within = draw.integers(counts[classes])
    return torch.from_numpy(by_class[starts[classes] + within])
