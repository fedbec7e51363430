"""Milliseconds to augment a batch: ours, all images at once, and torchvision's transforms, one image after the other.

Both get the same stored uint8 images and end with uint8 images. In turns; a ratio is the median of the ratios of
neighbouring turns.
"""

from __future__ import annotations

import time
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np
import torch

from benchmarks.measure import Row, save, table
from cvexp.data.augment.mixing import PARTNER
from cvexp.data.augment.source import MIXINGS, POLICIES

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

SHAPES = ((1, 28, 28), (3, 32, 32), (3, 64, 64), (3, 224, 224))
BATCHES = (32, 128)
N_BATCHES = 50
"""Of an epoch, whose draws are made in advance, as in training."""

LEAST_SECONDS = 0.3
"""That one turn of one contender takes."""


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print a table for each preset, shape and batch size, and write them to `benchmarks/results/`.

    `models` have no part in it; `limit` leaves out shapes of more than so many pixels on a side.
    """
    del models
    torch.set_num_threads(threads)
    tables: dict[str, list[Row]] = {}
    for shape in SHAPES:
        if limit is not None and shape[1] > limit:
            continue
        for size in BATCHES:
            for preset, contenders in pairs(shape, size).items():
                rows = in_turns(contenders, repeats=repeats)
                title = f"{preset}, {'x'.join(map(str, shape))}, batches of {size}"
                tables[title] = rows
                print(f"{title}\n\n{table(rows, baseline='torchvision, per image', unit='ms')}\n", flush=True)
                path = save(name, tables)
    print(f"written to {path}")


def pairs(shape: tuple[int, ...], size: int) -> Mapping[str, Mapping[str, Callable[[], object]]]:
    """For each preset, ours and torchvision's, each a call that augments one batch."""
    from torchvision.transforms import v2

    images = torch.randint(0, 256, (size, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(size) % 10
    pad = (shape[1] + 4) // 8
    crop = v2.Compose([v2.RandomCrop(shape[1], padding=pad, padding_mode="reflect"), v2.RandomHorizontalFlip()])
    theirs = {"flip-crop": crop, "trivial": v2.TrivialAugmentWide(), "randaugment": v2.RandAugment()}
    mixing = {"mixup": v2.MixUp(alpha=0.2, num_classes=10), "cutmix": v2.CutMix(alpha=1.0, num_classes=10)}
    floats = images / 255
    one_batch = "torchvision, one draw for the batch"
    return {
        **{
            preset: {"cvexp": ours(preset, images), "torchvision, per image": each(transform, images)}
            for preset, transform in theirs.items()
        },
        **{
            preset: {
                "cvexp": mixed(preset, floats, labels),
                "torchvision, per image": each_pair(transform, floats, labels),
                one_batch: lambda transform=transform: transform(floats, labels),
            }
            for preset, transform in mixing.items()
        },
    }


def ours(preset: str, images: Tensor) -> Callable[[], Tensor]:
    """A batch with its rows of an epoch's draws."""
    policy, size = POLICIES[preset], len(images)
    drawn = policy.draw(N_BATCHES * size, images.shape[1:], np.random.default_rng(0))
    parts = cycle(range(0, N_BATCHES * size, size))

    def call() -> Tensor:
        start = next(parts)
        return policy.apply(images, {name: values[start : start + size] for name, values in drawn.items()})

    return call


def mixed(preset: str, images: Tensor, labels: Tensor) -> Callable[[], Tensor]:
    """Likewise for pairs, with their labels."""
    mixing, size = MIXINGS[preset], len(images)
    drawn = mixing.draw(N_BATCHES * size, images.shape[1:], np.random.default_rng(0))
    parts = cycle(range(0, N_BATCHES * size, size))

    def call() -> Tensor:
        start = next(parts)
        rows = {name: values[start : start + size] for name, values in drawn.items()}
        _ = torch.nn.functional.one_hot(labels, 10) * rows["share"][:, None]
        return mixing.mix(images, images[rows[PARTNER] % size], rows)

    return call


def each(transform: Callable[[Tensor], Tensor], images: Tensor) -> Callable[[], Tensor]:
    """Every image by itself, as a DataLoader's workers do it, and stacked."""
    return lambda: torch.stack([transform(image) for image in images])


def each_pair(
    transform: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], images: Tensor, labels: Tensor
) -> Callable[[], Tensor]:
    """Every image with the next one, so that each has a draw of its own."""
    others, theirs = images.roll(1, 0), labels.roll(1, 0)

    def call() -> Tensor:
        couples = zip(images, others, labels, theirs, strict=True)
        return torch.stack([transform(torch.stack([a, b]), torch.stack([k, m]))[0][0] for a, b, k, m in couples])

    return call


def in_turns(contenders: Mapping[str, Callable[[], object]], *, repeats: int) -> list[Row]:
    """Milliseconds of a call, the mean over a turn, for each contender and turn."""
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    for call in contenders.values():
        call()
    for _ in range(repeats):
        for name, call in contenders.items():
            start, n = time.perf_counter(), 0
            while time.perf_counter() - start < LEAST_SECONDS:
                call()
                n += 1
            samples[name].append(1000 * (time.perf_counter() - start) / n)
    return [Row(name=name, samples=values) for name, values in samples.items()]
