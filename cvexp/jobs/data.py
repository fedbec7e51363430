"""List the datasets; fetch, verify and describe one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvexp.data.registry import find_spec, specs
from cvexp.jobs.samples import draw_samples
from cvexp.plots.files import check_path

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.data.dataset import Dataset, Split
    from cvexp.data.registry import DatasetSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A dataset in the list, and where it was found, if it was."""

    spec: DatasetSpec
    location: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A verified dataset in figures.

    Attributes:
        counts: Images per class in label order, by split.
        mean: Of the training pixels scaled to [0, 1], per channel; `std` likewise.
        samples: Where the sample grid was drawn, if it was asked for.
    """

    name: str
    title: str
    location: str
    digest: str
    image_shape: tuple[int, int, int]
    class_names: tuple[str, ...]
    counts: dict[str, tuple[int, ...]]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    samples: Path | None


def list_all(data_dir: Path) -> list[Listed]:
    """Every dataset, with the location it would be read from; nothing is read or fetched."""
    return [Listed(spec=spec, location=next(iter(spec.source.find(data_dir)), None)) for spec in specs().values()]


def describe(
    name: str,
    data_dir: Path,
    *,
    val_split: float = 0.0,
    split_seed: int = 42,
    limit: int | None = None,
    samples: Path | None = None,
    augment: str = "none",
) -> Description:
    """Fetch a dataset if need be, verify it, and describe the splits a run with the same options would get.

    A grid of random training images is drawn to `samples`, of augmented ones where `augment` says how.

    Raises:
        InputError: It is unknown, damaged or cannot be downloaded, or the picture cannot be written.
    """
    spec = find_spec(name)
    samples = None if samples is None else check_path(samples)
    from cvexp.data.dataset import load

    dataset = load(spec, data_dir, val_split=val_split, split_seed=split_seed, limit=limit)
    if samples is not None:
        draw_samples(dataset, samples, augment=augment)
    splits = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    mean, std = _mean_std(dataset.train)
    return Description(
        name=spec.name,
        title=spec.title,
        location=dataset.place,
        digest=dataset.digest,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        counts={
            name: tuple(np.bincount(split.labels.numpy(), minlength=dataset.n_classes).tolist())
            for name, split in splits.items()
            if split is not None
        },
        mean=mean,
        std=std,
        samples=samples,
    )


def _mean_std(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, of pixels scaled to [0, 1]; from a histogram, so that sums are exact."""
    levels = np.arange(256) / 255
    means, stds = [], []
    for channel in split.images.numpy().swapaxes(0, 1):
        share = np.bincount(channel.reshape(-1), minlength=256) / channel.size
        mean = float(share @ levels)
        means.append(mean)
        stds.append(float(np.sqrt(share @ (levels - mean) ** 2)))
    return tuple(means), tuple(stds)
