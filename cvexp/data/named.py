"""What `--dataset` may name: a registered dataset, or images of the user's own, by path. Without torch."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from cvexp.data.registry import find_spec
from cvexp.errors import DatasetError
from cvexp.settings import data_dir as default_data_dir
from cvexp.text import shown

FileKind = Literal["csv", "npz", "hf"]
FILE_KINDS: tuple[FileKind, ...] = get_args(FileKind)
Kind = Literal["folder", "csv", "npz", "hf"]
_WHAT = {"folder": "folder", "csv": "file", "npz": "file", "hf": "folder"}


class Located(NamedTuple):
    """Images of the user's own: as typed, what kind of place they are in, and its path."""

    name: str
    kind: Kind
    path: Path


def locate(name: str, data_dir: Path | None = None) -> Located | None:
    """Where the images are that `name` means; None where it is the name of a registered dataset.

    A path that is relative begins in the working folder, or else in the data directory. A word alone is a registered
    dataset if there is one of that name, and else a folder.

    Raises:
        DatasetError: There is no such dataset, folder or file.
    """
    if not name.isprintable():
        raise DatasetError(f"--dataset {shown(name)} has characters that cannot be shown", "rename the folder or file")
    kind, typed = _kind(name)
    if kind is None:
        with contextlib.suppress(DatasetError):
            find_spec(name)
            return None
    folder = data_dir or default_data_dir()
    path = Path(typed).expanduser()
    places = [path] if path.is_absolute() else [path, folder / path]
    for place in places:
        if os.path.lexists(place):
            return Located(name, kind or "folder", place)
    if kind is None:
        raise _unregistered(name, folder)
    where = str(path) if path.is_absolute() else f"{path} here or in {folder}"
    remedy = (
        "name it with --dataset" if path.is_absolute() else "go to where it is, or name that folder with --data-dir"
    )
    raise DatasetError(f"dataset {name}: there is no {_WHAT[kind]} {where}", remedy)


def _unregistered(name: str, folder: Path) -> DatasetError:
    """That `name` is neither a registered dataset nor a folder."""
    remedy = f"or name a folder of images; there is none called so here or in {folder} (--data-dir)"
    try:
        find_spec(name)
    except DatasetError as error:
        return DatasetError(error.what, *error.hints, remedy)
    return DatasetError(f"unknown dataset: {name!r}", remedy)


def _kind(name: str) -> tuple[Kind | None, str]:
    """The kind that was typed, and the path without its prefix; None for a word alone."""
    prefix, colon, rest = name.partition(":")
    for kind in FILE_KINDS:
        if colon and prefix == kind:
            if not rest:
                raise DatasetError(f"--dataset {name}: a path is missing", f"for example: --dataset {kind}:pictures")
            return kind, rest
    is_path = os.sep in name or name.startswith((".", "~"))
    return ("folder" if is_path else None), name


def check_known(name: str, data_dir: Path | None = None) -> None:
    """Refuse a name that means no dataset before anything is imported or written; DatasetError suggests another.

    Without a data directory, a path is not looked for: the caller does not know where it begins.
    """
    if data_dir is not None or _kind(name)[0] is None:
        locate(name, data_dir)


def is_here(name: str, data_dir: Path) -> bool:
    """Whether the dataset is on this machine, without reading it."""
    try:
        located = locate(name, data_dir)
    except DatasetError:
        return False
    return located is not None or any(True for _ in find_spec(name).source.find(data_dir))


def class_names_of(name: str, data_dir: Path) -> tuple[str, ...]:
    """The classes of a dataset in label order, without reading its images.

    Raises:
        DatasetError: It is not here, or is none.
    """
    located = locate(name, data_dir)
    if located is None:
        return find_spec(name).class_names
    from cvexp.data.own.listing import class_names

    return class_names(located)
