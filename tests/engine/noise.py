"""Images of noise with random labels, and what a test raises to leave a training on them."""

from __future__ import annotations

import torch

from cvexp.data.dataset import Dataset, Split

SHAPE = (1, 8, 8)


class Left(Exception):  # noqa: N818 - what the test raises to leave a training
    """The training was left here."""


def noise(n_images, seed):
    generator = torch.Generator().manual_seed(seed)
    return Split(
        images=torch.randint(0, 256, (n_images, *SHAPE), dtype=torch.uint8, generator=generator),
        labels=torch.randint(0, 3, (n_images,), generator=generator),
    )


def noise_dataset(n_train, n_test):
    return Dataset(
        name="noise",
        class_names=("a", "b", "c"),
        train=noise(n_train, 1),
        val=None,
        test=noise(n_test, 2),
        digest="0",
        place="-",
    )
