"""A folder of images: `train/CLASS/*` with `test/` and perhaps `val/`, or one folder of classes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np

from cvexp.data.own.files import SUFFIXES, file_listing
from cvexp.data.own.listing import LAYOUT, SPLITS, check_classes, check_splits
from cvexp.errors import DatasetError
from cvexp.text import clean

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.data.named import Located
    from cvexp.data.own.listing import Listing

NAMES = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
"""What the folders of splits may be called."""


def listing(located: Located) -> Listing:
    """See ListingModule. Hidden files and folders are passed over, as files are that are no images by their names."""
    root = located.path
    folders = {split: root / name for split, names in NAMES.items() for name in names if _is_folder(root / name)}
    if not folders.keys() & {"train", "test"}:
        folders = {"": root}
    elif missing := {"train", "test"} - folders.keys():
        (absent,), here = missing, clean(folders["train" if "train" in folders else "test"])
        remedy = f"add {absent}/CLASS/*; or --dataset {here} trains on a part of it, and tests on the rest"
        raise DatasetError(f"dataset {located.name} has no folder {absent}", remedy)
    found = {split: _classes(folder, located) for split, folder in folders.items()}
    names = tuple(sorted({name for classes, _ in found.values() for name in classes}))
    check_classes(located, names)
    paths, labels, splits = [], [], []
    for split, (classes, _) in found.items():
        for name in sorted(classes):
            paths += [os.path.join(folders[split].name if split else "", path) for path in classes[name]]  # noqa: PTH118
            labels += [names.index(name)] * len(classes[name])
            splits += [SPLITS.index(split or "train")] * len(classes[name])
    numbers = np.array(labels, np.int64)
    n_others = sum(n_others for _, n_others in found.values())
    asked = None if "" in found else splits
    listed = file_listing(located, root, paths, labels=numbers, splits=asked, names=names, n_others=n_others)
    return check_splits(listed, located)


def _is_folder(path: Path) -> bool:
    """Whether it is one, or a link to one; DatasetError if that cannot be told."""
    try:
        return path.stat() is not None and path.is_dir()
    except FileNotFoundError:
        if path.is_symlink():
            raise DatasetError(f"{path} is a link to nothing", "mend the link, or remove it") from None
        return False
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}", "check the links and permissions") from error


def _classes(folder: Path, located: Located) -> tuple[dict[str, list[str]], int]:
    """The image files of each class, as paths below `folder`, sorted, and how many other files there are.

    Raises:
        DatasetError: The folder cannot be read, has images beside the classes, or a class without any.
    """
    classes: dict[str, list[str]] = {}
    n_others = 0
    for name in _entries(folder):
        if not _is_folder(folder / name):
            n_others += 1
            if name.lower().endswith(SUFFIXES):
                raise DatasetError(f"{folder / name} is in no class's folder", LAYOUT)
            continue
        files: list[str] = []
        n_others += _collect(folder / name, name, files)
        if not files:
            raise DatasetError(
                f"dataset {located.name}: class {clean(name)} is empty: {folder / name} holds no image file",
                "add images, or remove the folder",
            )
        classes[name] = sorted(files)
    if not classes:
        raise DatasetError(f"dataset {located.name} is empty: {folder} holds no class's folder", LAYOUT)
    return classes, n_others


def _collect(folder: Path, prefix: str, files: list[str]) -> int:
    """Add the image files at any depth below `folder` to `files`; give how many other files there are."""
    n_others = 0
    try:
        with os.scandir(folder) as found:
            entries = [entry for entry in found if not entry.name.startswith(".")]
    except OSError as error:
        raise DatasetError(f"cannot read {folder}: {error.strerror}", "check its permissions") from error
    for entry in entries:
        if entry.is_symlink() and _is_folder(folder / entry.name):
            raise DatasetError(
                f"{folder / entry.name} is a link to a folder, which could lead back here", "move the images instead"
            )
        if entry.is_dir(follow_symlinks=False):
            n_others += _collect(folder / entry.name, f"{prefix}/{entry.name}", files)
        elif entry.name.lower().endswith(SUFFIXES):
            files.append(f"{prefix}/{entry.name}")
        else:
            n_others += 1
    return n_others


def _entries(folder: Path) -> list[str]:
    """The names in a folder, sorted, without hidden ones."""
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))  # noqa: PTH208 - names alone
    except OSError as error:
        raise DatasetError(f"cannot read {folder}: {error.strerror}", LAYOUT) from error
