"""Image files and their labels and splits, before any of them is opened."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np

from cvexp.data.sources import SPLIT_SEED
from cvexp.errors import DatasetError
from cvexp.text import clean, shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy.typing as npt

    from cvexp.data.named import Located

SPLITS = ("train", "val", "test")
TEST_SHARE = 0.2
"""Of each class of a dataset without a test split."""

MAX_CLASSES = 1000
"""As ImageNet has: a confusion matrix is a picture of K x K cells, and every class has metrics of its own."""

LONGEST_NAME = 200
"""Characters of a class's name."""


class Reader(Protocol):
    """Where encoded images are."""

    def stamps(self) -> npt.NDArray[np.int64]:
        """Size in bytes and time of modification in ns of what holds each image, int64 (N, 2); -1 where it is gone."""
        ...

    def read(self, row: int) -> bytes:
        """The encoded image; OSError if it cannot be read."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Listing:
    """N images in the order train, val, test, and within a split by class and name.

    Attributes:
        names: Of the images, as paths below their folder.
        labels: int64 (N,), indices into `class_names`.
        splits: int8 (N,), indices into SPLITS.
        reader: Where the images are, in this order.
        place: Of all of them, for people; `place` and where the test split comes from.
        n_others: Files beside them that no image is expected in, by their names.
    """

    names: Sequence[str]
    labels: npt.NDArray[np.int64]
    splits: npt.NDArray[np.int8]
    class_names: tuple[str, ...]
    reader: Reader
    place: str
    n_others: int = 0


class ListingModule(Protocol):
    """A module of this package that lists the images of one kind of place."""

    def listing(self, located: Located) -> Listing:
        """List them; DatasetError if they are no dataset."""
        ...


def listing_of(located: Located) -> Listing:
    """The images at a place of any kind but npz."""
    modules: Mapping[str, str] = {"folder": "folder", "csv": "csv_file", "hf": "huggingface"}
    module = cast("ListingModule", import_module(f"cvexp.data.own.{modules[located.kind]}"))
    return module.listing(located)


def class_names(located: Located) -> tuple[str, ...]:
    """The classes at a place of any kind, in label order."""
    if located.kind == "npz":
        from cvexp.data.own.npz import class_names as of_arrays

        return of_arrays(located)
    return listing_of(located).class_names


def check_classes(located: Located, names: Sequence[str]) -> None:
    """Refuse classes that no classifier can be trained on, or that cannot be shown.

    Raises:
        DatasetError: There is one, or there are too many, or a name is empty, long, or has control characters.
    """
    if len(names) < 2:  # noqa: PLR2004 - a choice needs two
        only = f"one class, {clean(names[0])}" if names else "no class"
        raise DatasetError(f"dataset {located.name} has {only}; a classifier needs two", LAYOUT)
    if len(names) > MAX_CLASSES:
        raise DatasetError(
            f"dataset {located.name} has {len(names):,} classes, and {MAX_CLASSES:,} is the most",
            "each has metrics of its own and a row of the confusion matrix; is the folder that of the classes?",
        )
    for name in names:
        if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
            raise DatasetError(
                f"dataset {located.name}: class {shown(name)} cannot be shown",
                f"give it a name of 1 to {LONGEST_NAME} printable characters",
            )


LAYOUT = "wanted: train/CLASS/* and test/CLASS/*, or CLASS/*, with an image file or more in each class's folder"


def check_splits(listing: Listing, located: Located, *, left_out: str = "") -> Listing:
    """The listing, if its splits can be trained and tested on; `left_out` names files that could not be read.

    Raises:
        DatasetError: There is no training or no test image, or a class has none to train on.
    """
    remedy = f"unreadable: {left_out}" if left_out else LAYOUT
    for split in ("train", "test"):
        if not (listing.splits == SPLITS.index(split)).any():
            raise DatasetError(f"dataset {located.name} has no {split} images", remedy)
    trained = np.bincount(listing.labels[listing.splits == 0], minlength=len(listing.class_names))
    for label, name in enumerate(listing.class_names):
        if not trained[label]:
            elsewhere = {SPLITS[split] for split in listing.splits[listing.labels == label]}
            only = f", only in {' and '.join(sorted(elsewhere))}" if elsewhere else ""
            raise DatasetError(
                f"dataset {located.name}: class {clean(name)} has no training image{only}",
                remedy if left_out else "add some, or remove the class",
            )
    return listing


def with_test_part(labels: npt.NDArray[np.int64], located: Located, names: Sequence[str]) -> npt.NDArray[np.int8]:
    """Splits int8 (N,) of images that come without: a fifth of each class, one at least, is for testing.

    The choice is part of the dataset's identity, and has a fixed seed, as that of registered datasets has.

    Raises:
        DatasetError: A class has a single image.
    """
    splits, draw = np.zeros(len(labels), np.int8), np.random.default_rng(SPLIT_SEED)
    for label, name in enumerate(names):
        (rows,) = np.nonzero(labels == label)
        if len(rows) == 1:
            raise DatasetError(
                f"dataset {located.name}: class {clean(name)} has one image, and training and testing need one each",
                "add images to it, or remove the class",
            )
        chosen = draw.permutation(rows)[: max(1, round(TEST_SHARE * len(rows)))]
        splits[chosen] = SPLITS.index("test")
    return splits
