"""A dataset in memory: uint8 images and int64 labels, in the splits a run asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import torch

from cvexp.data.arrays import checked
from cvexp.data.sources import NotThisDataset
from cvexp.data.transforms import Transform
from cvexp.errors import DatasetError
from cvexp.settings import cached_data_dir
from cvexp.text import clean

if TYPE_CHECKING:
    from pathlib import Path

    import numpy.typing as npt

    from cvexp.data.registry import DatasetSpec
    from cvexp.data.sources import Arrays
    from cvexp.results import HeldOutName

DIGEST_DIGITS = 16


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Split:
    """Images uint8 (N, C, H, W) and labels int64 (N,) in [0, K), on one device."""

    images: torch.Tensor
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device) -> Split:
        """The split with its tensors on `device`."""
        return Split(images=self.images.to(device), labels=self.labels.to(device))

    def take(self, indices: npt.NDArray[np.int64]) -> Split:
        """The images at `indices`, in that order."""
        where = torch.from_numpy(indices)
        return Split(images=self.images[where], labels=self.labels[where])


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Dataset:
    """A dataset, verified and split.

    Attributes:
        name: As in the registry.
        class_names: K of them, in label order.
        train: What to learn from.
        val: What to choose by; None unless a validation part was asked for.
        test: What to report, and never to choose by.
        digest: Of the published images and labels, whatever was left out afterwards; see `content_digest`.
        place: Where they were found, for people.
        transform: From the images to what a model takes; stored with the weights of a model trained on this dataset.
    """

    name: str
    class_names: tuple[str, ...]
    train: Split
    val: Split | None
    test: Split
    digest: str
    place: str
    transform: Transform = field(default_factory=Transform)

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
    def n_classes(self) -> int:
        """K."""
        return len(self.class_names)


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
    train = Split(images=torch.from_numpy(arrays.train_images), labels=torch.from_numpy(arrays.train_labels))
    test = Split(images=torch.from_numpy(arrays.test_images), labels=torch.from_numpy(arrays.test_labels))
    train, val = _cut(train, val_split, split_seed) if val_split else (train, None)
    return Dataset(
        name=spec.name,
        class_names=spec.class_names,
        train=_limited(train, limit, split_seed),
        val=None if val is None else _limited(val, limit, split_seed),
        test=_limited(test, limit, split_seed),
        digest=content_digest(arrays),
        place=clean(place),
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


def _cut(train: Split, fraction: float, seed: int) -> tuple[Split, Split]:
    """Set a stratified validation part aside; both parts keep the published order."""
    from sklearn.model_selection import train_test_split

    labels = train.labels.numpy()
    try:
        rest, val = train_test_split(np.arange(len(labels)), test_size=fraction, stratify=labels, random_state=seed)
        complete = len(np.unique(labels[val])) == len(np.unique(labels[rest])) == len(np.unique(labels))
    except ValueError:
        complete = False
    if not complete:
        raise DatasetError(
            f"--val-split {fraction} of {len(labels):,} images does not leave every class an image on both sides",
            "choose another fraction",
        )
    return train.take(np.sort(rest)), train.take(np.sort(val))


def _limited(split: Split, limit: int | None, seed: int) -> Split:
    """At most `limit` images, drawn at random, in the published order."""
    if limit is None or limit >= len(split):
        return split
    chosen = np.random.default_rng(seed).choice(len(split), size=limit, replace=False)
    return split.take(np.sort(chosen))
