"""A CSV file of image files: columns `path`, `label` and perhaps `split`; paths begin in the file's folder."""

from __future__ import annotations

import csv
import os
from typing import TYPE_CHECKING

import numpy as np

from cvexp.data.own.files import file_listing
from cvexp.data.own.folder import NAMES
from cvexp.data.own.listing import SPLITS, check_classes, check_splits
from cvexp.errors import DatasetError
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from cvexp.data.named import Located
    from cvexp.data.own.listing import Listing

_EXAMPLE = "wanted: a first line path,label or path,label,split, then a line for each image"
_SPLIT_OF = {name: SPLITS.index(split) for split, names in NAMES.items() for name in names}


def listing(located: Located) -> Listing:
    """See ListingModule; the order within a split is the file's."""
    paths, labels, splits = [], [], []
    for number, path, label, split in _lines(located.path):
        where = f"{located.path}, line {number}"
        paths.append(_inside(path, where))
        if not label:
            raise DatasetError(f"{where}: the label is missing", _EXAMPLE)
        labels.append(label)
        if split is not None:
            if split.lower() not in _SPLIT_OF:
                raise DatasetError(f"{where}: unknown split {shown(split)}", f"valid: {', '.join(_SPLIT_OF)}")
            splits.append(_SPLIT_OF[split.lower()])
    if not paths:
        raise DatasetError(f"{located.path} lists no images", _EXAMPLE)
    names = tuple(sorted(set(labels)))
    check_classes(located, names)
    index = {name: label for label, name in enumerate(names)}
    numbers = np.array([index[label] for label in labels], np.int64)
    found = file_listing(located, located.path.parent, paths, labels=numbers, splits=splits or None, names=names)
    _check_there(located, found.names)
    return check_splits(found, located)


def _lines(file: Path) -> Iterator[tuple[int, str, str, str | None]]:
    """The number, path, label and split of each line; the split is None where there is no such column."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream, restval="")
            columns = [str(name).strip().lower() for name in reader.fieldnames or ()]
            for wanted in ("path", "label"):
                if columns.count(wanted) != 1:
                    raise DatasetError(f"{file} has no column {wanted}, or several: {shown(columns)}", _EXAMPLE)
            reader.fieldnames = columns
            has_split = "split" in columns
            for row in reader:
                split = row["split"].strip() if has_split else None
                yield reader.line_num, row["path"].strip(), row["label"].strip(), split
    except UnicodeDecodeError as error:
        raise DatasetError(f"{file} is not UTF-8", "save it in UTF-8") from error
    except csv.Error as error:
        raise DatasetError(f"{file} is no CSV file: {error}", _EXAMPLE) from error
    except OSError as error:
        raise DatasetError(f"cannot read {file}: {error.strerror}", "name a CSV file after csv:") from error


def _inside(path: str, where: str) -> str:
    """The path, normalized; DatasetError if it is empty or leads out of the file's folder."""
    plain = os.path.normpath(path)
    if not path or "\0" in path:
        raise DatasetError(f"{where}: the path is missing", _EXAMPLE)
    if plain.startswith((os.sep, os.pardir + os.sep)) or plain == os.pardir:
        raise DatasetError(f"{where}: {shown(path)} leaves the file's folder", "put the images in or below that folder")
    return plain


def _check_there(located: Located, paths: Sequence[str]) -> None:
    """Refuse a list of files that are not there, or that links lead out of the folder to."""
    root = os.path.realpath(located.path.parent)
    for folder in {os.path.dirname(path) for path in paths}:  # noqa: PTH120 - strings, for many files
        real = os.path.realpath(os.path.join(root, folder))  # noqa: PTH118
        if os.path.commonpath([root, real]) != root:
            raise DatasetError(f"{located.path}: {folder} is a link out of the file's folder", "copy the images there")
    missing = [path for path in paths if not os.path.isfile(os.path.join(root, path))]  # noqa: PTH113, PTH118
    if missing:
        more = f" and {len(missing) - 1:,} more" if missing[1:] else ""
        raise DatasetError(f"{located.path}: no such file: {missing[0]}{more}", "paths begin in the CSV file's folder")
