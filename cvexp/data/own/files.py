"""Image files on a disk, as a Reader and as a Listing."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import numpy as np

from cvexp.data.own.listing import Listing, with_test_part

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from cvexp.data.named import Located

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
MAX_BYTES = 2**29
"""Of an image file: more is not read."""


class Files:
    """Files below `root`, by their paths there."""

    def __init__(self, root: Path, paths: Sequence[str]) -> None:
        self._root, self._paths = os.fspath(root), paths

    def stamps(self) -> npt.NDArray[np.int64]:
        """See Reader."""
        found = np.full((len(self._paths), 2), -1, np.int64)
        for row, path in enumerate(self._paths):
            try:
                status = os.stat(os.path.join(self._root, path))  # noqa: PTH116, PTH118 - five times as fast
            except OSError:
                continue
            if stat.S_ISREG(status.st_mode):
                found[row] = status.st_size, status.st_mtime_ns
        return found

    def read(self, row: int) -> bytes:
        """See Reader."""
        with open(os.path.join(self._root, self._paths[row]), "rb") as stream:  # noqa: PTH118, PTH123 - likewise
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise OSError(0, f"more than {MAX_BYTES:,} bytes")
        return content


def file_listing(
    located: Located,
    root: Path,
    paths: Sequence[str],
    *,
    labels: npt.NDArray[np.int64],
    splits: Sequence[int] | None,
    names: tuple[str, ...],
    n_others: int = 0,
) -> Listing:
    """Image files as a listing, split by split, in their order within each; see Listing for what it has.

    Args:
        located: Where they were found.
        root: The folder that the paths begin in.
        paths: Of N files.
        labels: int64 (N,), in [0, K).
        splits: Indices of SPLITS; None sets a part of each class aside for testing.
        names: Of the K classes.
        n_others: Files beside them that are no images by their names.

    Raises:
        DatasetError: A class has too few images to be divided.
    """
    chosen = with_test_part(labels, located, names) if splits is None else np.array(splits, np.int8)
    order = np.argsort(chosen, kind="stable")
    ordered = [paths[row] for row in order]
    return Listing(
        names=ordered,
        labels=labels[order],
        splits=chosen[order],
        class_names=names,
        reader=Files(root, ordered),
        place=str(located.path.absolute()) + (", a fifth of each class for testing" if splits is None else ""),
        n_others=n_others,
    )
