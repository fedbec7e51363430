"""cvexp's own engine on Fashion-MNIST made smaller or larger: how many images, how large they are, how wide the model.

Among the task's options, all optional: `images` (repeated beyond the 60,000), `side` (pixels, by nearest
neighbour), and `hidden_units`. Only as many test images are kept as one evaluation batch holds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from benchmarks.contenders import cvexp_engine
from cvexp.data.dataset import Dataset, Split, load
from cvexp.data.registry import find_spec

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.tasks import Answer, Task

TEST_IMAGES = 500


def run(task: Task, scratch: Path) -> Answer:
    """Train as `cvexp_engine` does, on other data."""
    options = dict(task.options)
    n_images = int(options.pop("images", "60000"))
    side = int(options.pop("side", "28"))

    dataset = scaled(load(find_spec("fashion-mnist"), scratch, limit=task.limit), n_images=n_images, side=side)
    return cvexp_engine.run(replace(task, options=options), scratch, dataset=dataset)


def scaled(dataset: Dataset, *, n_images: int, side: int) -> Dataset:
    """The dataset with so many training images, each of so many pixels a side."""
    # Resized before they are repeated, and never more of them than are kept.
    train = _resized(dataset.train, n_images=min(n_images, len(dataset.train)), side=side)
    if n_images > len(train):
        train = _repeated(train, n_images)
    return replace(dataset, train=train, test=_resized(dataset.test, n_images=TEST_IMAGES, side=side))


def _repeated(split: Split, n_images: int) -> Split:
    """The split over and over until there are so many images."""
    where = torch.arange(n_images) % len(split)
    return replace(split, images=split.images[where], labels=split.labels[where])


def _resized(split: Split, *, n_images: int, side: int) -> Split:
    images = split.images[:n_images]
    if side != images.shape[-1]:
        images = functional.interpolate(images, size=(side, side), mode="nearest")
    return replace(split, images=images, labels=split.labels[:n_images])
