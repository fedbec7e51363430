"""A dataset in memory: uint8 images and int64 labels, in the splits a run asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import numpy as np
import torch

from cvexp.data.arrays import checked
from cvexp.data.fitting import Fitting
from cvexp.data.named import locate
from cvexp.data.registry import find_spec
from cvexp.data.sources import NotThisDataset
from cvexp.data.split import Split, cut, limited
from cvexp.data.transforms import Transform
from cvexp.errors import DatasetError
from cvexp.runs import LEFT_OUT, READ_AHEAD
from cvexp.settings import cached_data_dir
from cvexp.text import clean

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.config.data import DataConfig
    from cvexp.data.fitting import Interpolation
    from cvexp.data.registry import DatasetSpec
    from cvexp.data.sources import Arrays
    from cvexp.results import HeldOutName

DIGEST_DIGITS = 16
NAMED_FILES = 20
"""Unreadable image files that a run names; `cvexp data` names all."""


class LeftOut(NamedTuple):
    """An image file that could not be read, and why."""

    path: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dataset:
    """A dataset, verified and split.

    Attributes:
        name: As in the registry, or as typed.
        class_names: K of them, in label order.
        train: What to learn from.
        val: What to choose by; None unless a validation part was asked for.
        test: What to report, and never to choose by.
        digest: Of the published images and labels, whatever was left out afterwards; see `content_digest`.
        place: Where they were found, for people.
        transform: From the images to what a model takes; stored with the weights of a model trained on this dataset.
        fitting: How its images were made those of one size, and new ones are to be; stored likewise.
        is_fitted: Whether any were: figures of another size are then of the same dataset, and its times are not.
        left_out: Files that could not be read, each with the reason.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split
    digest: str
    place: str
    transform: Transform = field(default_factory=Transform)
    fitting: Fitting = field(default_factory=Fitting)
    is_fitted: bool = False
    left_out: tuple[LeftOut, ...] = ()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def to(self, device: torch.device) -> Dataset:
        """The dataset with its tensors on `device`."""
        val = None if self.val is None else self.val.to(device)
        return replace(self, train=self.train.to(device), val=val, test=self.test.to(device))

    def held_out(self, name: HeldOutName) -> Split:
        """The split called `val` or `test`, which the dataset has."""
        split = self.test if name == "test" else self.val
        assert split is not None  # noqa: S101 - see above
        return split

    @property
    def pixels(self) -> str:
        """Identifies the images at the size and proportions that they have here."""
        shape = "x".join(map(str, self.image_shape))
        return f"{self.digest}, {shape}, {self.fitting.resize}" if self.is_fitted else self.digest

    @property
    def tags(self) -> dict[str, str]:
        """What a run says of the image files: which could not be read, and how they are read where memory is small."""
        found = {}
        if self.left_out:
            named = [f"{clean(one.path)} ({clean(one.reason)})" for one in self.left_out[:NAMED_FILES]]
            more = [f"and {len(self.left_out) - NAMED_FILES:,} more"] if len(self.left_out) > NAMED_FILES else []
            found[LEFT_OUT] = f"{len(self.left_out):,}: " + "; ".join([*named, *more])
        if self.train.reads_ahead:
            found[READ_AHEAD] = "more images than memory holds: those of a batch are read ahead, in the usual order"
        return found

    @property
    def n_classes(self) -> int:
        """K."""
        return len(self.class_names)


def load_dataset(
    config: DataConfig, data_dir: Path, *, interpolation: Interpolation = "bilinear", channels: int | None = None
) -> Dataset:
    """The dataset that `config` names, its images of the size that `config` asks for, split as it says.

    Registered datasets are found in `data_dir`, or downloaded to it, and keep their size unless `config` has another.
    Image files are decoded with `channels`, by default with 1 where none has colours, and 3 otherwise.

    Raises:
        DatasetError: It is unknown, incomplete or damaged, or a class is left without images.
        StorageError: There is no room for decoded images.
    """
    fitting = Fitting(resize=config.resize, interpolation=interpolation)
    part: Part = {"val_split": config.val_split, "split_seed": config.split_seed, "limit": config.limit}
    located = locate(config.dataset, data_dir)
    if located is not None and located.kind != "npz":
        from cvexp.data.own.loading import load_own

        own = load_own(located, fitting, side=config.image_size, channels=channels)
        return divided(own.dataset, **part)
    if located is None:
        dataset = load(find_spec(config.dataset), data_dir, **part)
    else:
        from cvexp.data.own.npz import load_npz

        dataset = divided(load_npz(located), **part)
    if config.image_size is not None:
        return _fitted(dataset, fitting, config.image_size)
    if fitting.resize != type(config).resize:
        raise DatasetError(
            f"--resize {fitting.resize}: the images of {config.dataset} are not resized", "give --image-size too"
        )
    return replace(dataset, fitting=Fitting(interpolation=interpolation))


class Part(TypedDict):
    """Which images of a dataset are used; see `load`."""

    val_split: float
    split_seed: int
    limit: int | None


def _fitted(dataset: Dataset, fitting: Fitting, side: int) -> Dataset:
    """The dataset with images of `side` x `side` pixels, still known as those that they were made of."""
    is_fitted = dataset.image_shape[1:] != (side, side)

    def fitted(split: Split) -> Split:
        pieces = [fitting(piece, (side, side)) for piece in torch.split(split.images, _AT_ONCE)]
        return replace(split, images=torch.cat(pieces), identity=split.images) if is_fitted else split

    val = None if dataset.val is None else fitted(dataset.val)
    train = replace(fitted(dataset.train), identity=None)
    changed = replace(dataset, train=train, val=val, test=fitted(dataset.test))
    return replace(changed, fitting=fitting, is_fitted=is_fitted)


_AT_ONCE = 1024
"""Images that are resized at a time."""


def load(
    spec: DatasetSpec, data_dir: Path, *, val_split: float = 0.0, split_seed: int = 42, limit: int | None = None
) -> Dataset:
    """Find, verify and split a dataset, downloading it first to `data_dir` where it is not on this machine.

    `val_split` is the fraction of the training images to set aside for validation, stratified; `limit` the largest
    number of images of each split; `split_seed` seeds the choice of both.

    Raises:
        DatasetError: A file is damaged, nothing can be downloaded, or the split leaves a class without images.
    """
    arrays, place = _arrays(spec, data_dir)
    whole = Dataset(
        name=spec.name,
        class_names=spec.class_names,
        train=Split(images=torch.from_numpy(arrays.train_images), labels=torch.from_numpy(arrays.train_labels)),
        val=None,
        test=Split(images=torch.from_numpy(arrays.test_images), labels=torch.from_numpy(arrays.test_labels)),
        digest=content_digest(arrays),
        place=clean(place),
    )
    return divided(whole, val_split=val_split, split_seed=split_seed, limit=limit)


def divided(whole: Dataset, *, val_split: float, split_seed: int, limit: int | None) -> Dataset:
    """The dataset with a part of its training images set aside, and at most `limit` images of each split; see `load`.

    A dataset with validation images of its own keeps those. DatasetError if a class is left without images.
    """
    train, val = whole.train, whole.val
    if val_split and val is None:
        train, val = cut(train, val_split, split_seed)
    return replace(
        whole,
        train=limited(train, limit, split_seed),
        val=None if val is None else limited(val, limit, split_seed),
        test=limited(whole.test, limit, split_seed),
    )


def _arrays(spec: DatasetSpec, data_dir: Path) -> tuple[Arrays, str]:
    check_named = getattr(spec.source, "check_named", None)
    if check_named is not None and data_dir != cached_data_dir():
        check_named(data_dir)
    for is_first in (True, False):
        if not is_first:
            spec.source.fetch(data_dir)
        for place in spec.source.find(data_dir):
            try:
                return checked(spec, spec.source.read(place)), place
            except NotThisDataset:
                continue
    raise DatasetError(
        f"{spec.name} was downloaded to {data_dir}, and is not complete there", f"run again: cvexp data {spec.name}"
    )


def content_digest(arrays: Arrays) -> str:
    """Identify a dataset by its images and labels, from wherever: the first digits of a SHA-256."""
    digest = hashlib.sha256()
    for images, labels in ((arrays.train_images, arrays.train_labels), (arrays.test_images, arrays.test_labels)):
        for array, dtype in ((images, "u1"), (labels, "<i8")):
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array, dtype=dtype).data)
    return digest.hexdigest()[:DIGEST_DIGITS]
