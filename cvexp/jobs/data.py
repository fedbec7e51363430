"""List the datasets; fetch, verify and describe one."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from cvexp.data.named import locate
from cvexp.data.registry import find_spec, specs
from cvexp.jobs.samples import draw_samples
from cvexp.plots.files import check_path

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.config.data import DataConfig
    from cvexp.data.dataset import Dataset, LeftOut
    from cvexp.data.own.loading import OwnImages
    from cvexp.data.registry import DatasetSpec
    from cvexp.data.split import Split


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """A dataset in the list, and where it was found, if it was."""

    spec: DatasetSpec
    location: str | None


class Decoded(NamedTuple):
    """Decoded image files of all datasets: the folder, how many sets, and the bytes they take and may take."""

    folder: Path
    n_sets: int
    n_bytes: int
    limit: int


class Cleared(NamedTuple):
    """Decoded images that were removed: the folder, how many sets, their bytes, and the sets in use, which stay."""

    folder: Path
    n_sets: int
    n_bytes: int
    n_in_use: int


class Duplicated(NamedTuple):
    """Images of a dataset that are the same: their names, how, and whether they are in several splits or classes."""

    names: tuple[str, ...]
    kind: str
    across_splits: bool
    across_classes: bool
    in_train_and_test: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Files:
    """The image files of a dataset, as far as they can be read.

    Attributes:
        n_others: Files beside them that are no images by their names.
        n_bytes: The smallest, the median, the largest and all, in bytes.
        sizes: Of the images: (width, height) of the smallest, the median and the largest by pixels.
        modes: How many have each of Pillow's modes.
        unreadable: Those that cannot be read, which are no part of the figures.
        cache: The folder of the decoded images, and its size in bytes.
    """

    n_others: int
    n_bytes: tuple[int, int, int, int]
    sizes: tuple[tuple[int, int], tuple[int, int], tuple[int, int]]
    modes: dict[str, int]
    unreadable: tuple[LeftOut, ...]
    cache: Path
    cache_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A verified dataset in figures.

    Attributes:
        counts: Images per class in label order, by split.
        mean: Of the training pixels scaled to [0, 1], per channel; `std` likewise.
        samples: Where the sample grid was drawn, if it was asked for.
        duplicates: Of all of its images, before a part was set aside or limited.
        near: Why near duplicates were not looked for; empty where they were.
        files: None where the images are in no files of their own.
        fitted: How the images were made those of one shape; empty where they were not.
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
    duplicates: tuple[Duplicated, ...] = ()
    near: str = ""
    files: Files | None = None
    fitted: str = ""


def list_all(data_dir: Path) -> list[Listed]:
    """Every dataset, with the location it would be read from; nothing is read or fetched."""
    return [Listed(spec=spec, location=next(iter(spec.source.find(data_dir)), None)) for spec in specs().values()]


def decoded() -> Decoded | None:
    """What is decoded on this machine; None if nothing ever was."""
    from cvexp.data.own.room import caches, limit
    from cvexp.settings import image_cache_dir

    folder = image_cache_dir()
    if not folder.is_dir():
        return None
    found = caches(folder)
    return Decoded(folder, len(found), sum(size for _, size in found), limit(folder))


def clear_cache() -> Cleared:
    """Remove what is decoded on this machine and not in use; it is decoded again when it is needed."""
    from cvexp.data.own.room import clear
    from cvexp.settings import image_cache_dir

    return Cleared(image_cache_dir(), *clear(image_cache_dir()))


def describe(config: DataConfig, data_dir: Path, *, samples: Path | None = None) -> Description:
    """Fetch a dataset if need be, verify it, and describe the splits a run with the same options would get.

    A grid of random training images is drawn to `samples`, of augmented ones where `config` says how.

    Raises:
        InputError: It is unknown, damaged or cannot be downloaded, or the picture cannot be written.
    """
    located = locate(config.dataset, data_dir)
    samples = None if samples is None else check_path(samples)
    from cvexp.data.dataset import divided, load_dataset

    files, whole_config = None, replace(config, val_split=0.0, limit=None)
    if located is not None and located.kind != "npz":
        from cvexp.data.fitting import Fitting
        from cvexp.data.own.loading import load_own

        own = load_own(located, Fitting(resize=config.resize), side=config.image_size)
        whole, files = own.dataset, _files(own)
    else:
        whole = load_dataset(whole_config, data_dir)
    dataset = divided(whole, val_split=config.val_split, split_seed=config.split_seed, limit=config.limit)
    if samples is not None:
        draw_samples(dataset, samples, augment=config.augment)
    duplicates, near = _duplicates(whole, is_own=located is not None)
    mean, std = _mean_std(dataset.train)
    return Description(
        name=dataset.name,
        title=find_spec(config.dataset).title if located is None else _TITLES[located.kind],
        location=dataset.place,
        digest=dataset.digest,
        image_shape=dataset.image_shape,
        class_names=dataset.class_names,
        counts={
            name: tuple(np.bincount(split.labels.numpy(), minlength=dataset.n_classes).tolist())
            for name, split in _splits(dataset).items()
        },
        mean=mean,
        std=std,
        samples=samples,
        duplicates=duplicates,
        near=near,
        files=files,
        fitted=dataset.fitting.resize if dataset.is_fitted else "",
    )


_TITLES = {
    "folder": "image files in folders of classes",
    "csv": "image files that a CSV file lists",
    "npz": "arrays",
    "hf": "a Hugging Face dataset",
}


def _splits(dataset: Dataset) -> dict[str, Split]:
    found = {"train": dataset.train, "val": dataset.val, "test": dataset.test}
    return {name: split for name, split in found.items() if split is not None}


def _files(own: OwnImages) -> Files:
    from cvexp.data.own.room import cached_bytes

    scan, rows = own.scan, own.cached.rows
    n_bytes = np.sort(scan.n_bytes[rows])
    sizes = scan.sizes[rows]
    sizes = sizes[np.argsort(sizes.prod(axis=1), kind="stable")]
    middle = len(rows) // 2
    smallest, median, largest = (tuple(sizes[k].tolist()) for k in (0, middle, -1))
    return Files(
        n_others=own.listing.n_others,
        n_bytes=(int(n_bytes[0]), int(n_bytes[middle]), int(n_bytes[-1]), int(n_bytes.sum())),
        sizes=(smallest, median, largest),
        modes=dict(Counter(scan.modes[row] for row in rows).most_common()),
        unreadable=own.dataset.left_out,
        cache=own.cached.folder,
        cache_bytes=cached_bytes(own.cached.folder),
    )


def _duplicates(dataset: Dataset, *, is_own: bool) -> tuple[tuple[Duplicated, ...], str]:
    """Duplicates, those across splits first, and why near ones were not looked for."""
    from cvexp.data.duplicates import MOST_NEAR, exact_duplicates, look_at, names_of, near_duplicates

    splits = _splits(dataset)
    n_images = sum(map(len, splits.values()))
    near = "" if is_own else f"not looked for in {dataset.name}, which is published as it is"
    if is_own and n_images > MOST_NEAR:
        near = f"not looked for among more than {MOST_NEAR:,} images"
    look = look_at(splits, thumbnails=not near)
    found = [*exact_duplicates(look), *([] if near else near_duplicates(look))]
    names, where = names_of(splits)
    labels = np.concatenate([split.labels.numpy() for split in splits.values()])
    named = [
        Duplicated(
            names=tuple(names[image] for image in one.images),
            kind=one.kind,
            across_splits=len(among := {where[image] for image in one.images}) > 1,
            across_classes=len({int(labels[image]) for image in one.images}) > 1,
            in_train_and_test={"train", "test"} <= among,
        )
        for one in found
    ]
    return tuple(sorted(named, key=lambda one: (not one.in_train_and_test, not one.across_splits, one.kind))), near


def _mean_std(split: Split) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Per channel, of pixels scaled to [0, 1]; from a histogram, so that sums are exact."""
    levels = np.arange(256) / 255
    means, stds = [], []
    n_channels = split.images.shape[1]
    counts = np.zeros((n_channels, 256), np.int64)
    for start in range(0, len(split), _AT_ONCE):
        for k, channel in enumerate(split.images[start : start + _AT_ONCE].numpy().swapaxes(0, 1)):
            counts[k] += np.bincount(channel.reshape(-1), minlength=256)
    for count in counts:
        share = count / count.sum()
        mean = float(share @ levels)
        means.append(mean)
        stds.append(float(np.sqrt(share @ (levels - mean) ** 2)))
    return tuple(means), tuple(stds)


_AT_ONCE = 1024
"""Images whose pixels are counted at a time."""
