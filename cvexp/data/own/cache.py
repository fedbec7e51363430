"""Decoded images in one memory-mapped file, keyed by the content of their files and by how they were made.

A cache is a folder with `images.npy`, uint8 (N, C, H, W), and `manifest.json`. It appears complete, by a rename, or not
at all. Processes that want the same one wait for the first. Nothing is ever changed in it. Old ones make room for new
ones; see room.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import json
import os
import secrets
import shutil
import warnings
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cvexp import files
from cvexp.data.images import Unreadable, decode
from cvexp.data.own.parallel import for_each
from cvexp.data.own.room import MANIFEST, MARGIN_BYTES, hold, make_room
from cvexp.errors import DatasetError, StorageError
from cvexp.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

    from cvexp.data.fitting import Fitting
    from cvexp.data.own.listing import Listing
    from cvexp.data.own.scan import Scan

SCHEMA_VERSION = 1
KEY_DIGITS = 32
IMAGES = "images.npy"


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoding:
    """How files become images: by which versions of the decoders, in which shape (C, H, W), fitted how."""

    shape: tuple[int, int, int]
    resize: str
    interpolation: str
    pillow: str
    torch: str


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Cached:
    """Images of a listing.

    Attributes:
        images: uint8 (N, C, H, W), memory-mapped and read-only: writing to it ends the process.
        rows: int64 (N,), which image of the listing each is, ascending.
        reasons: Why each of the others cannot be read, by row of the listing.
        folder: Where they are.
        was_there: Whether they were, before they were asked for.
    """

    images: torch.Tensor
    rows: npt.NDArray[np.int64]
    reasons: dict[int, str]
    folder: Path
    was_there: bool


def open_cache(listing: Listing, scan: Scan, shape: tuple[int, int, int], fitting: Fitting, root: Path) -> Cached:
    """The images of `listing` in `shape`, decoded now unless they are in a cache below `root`.

    Raises:
        StorageError: There is no room for them, or they cannot be written.
    """
    import PIL
    from filelock import FileLock

    decoding = Decoding(
        shape=shape,
        resize=fitting.resize,
        interpolation=fitting.interpolation,
        pillow=PIL.__version__,
        torch=torch.__version__.partition("+")[0],
    )
    key = _key(decoding, scan)
    folder = root / key
    found = _opened(folder, decoding, len(listing.names))
    if found is not None:
        return found
    with _explained(root):
        root.mkdir(parents=True, exist_ok=True)
        with FileLock(root / f"{key}.lock"):
            found = _opened(folder, decoding, len(listing.names))
            if found is None:
                _make(folder, listing, scan, decoding, fitting)
                found = _opened(folder, decoding, len(listing.names), was_there=False)
    if found is None:
        raise StorageError(f"the cache {folder} cannot be read after it was written", "check the disk")
    return found


def _key(decoding: Decoding, scan: Scan) -> str:
    digest = hashlib.sha256(json.dumps([SCHEMA_VERSION, asdict(decoding)], sort_keys=True).encode())
    digest.update(scan.digests.data)
    return digest.hexdigest()[:KEY_DIGITS]


def _opened(folder: Path, decoding: Decoding, n_listed: int, *, was_there: bool = True) -> Cached | None:
    """The cache in `folder`, without reading its images; None where there is none, or a damaged one."""
    try:
        hold(folder)
        manifest = json.loads((folder / MANIFEST).read_bytes())
        reasons = {int(row): str(reason) for row, reason in manifest["left_out"].items()}
        rows = np.array(sorted(set(range(n_listed)) - reasons.keys()), np.int64)
        images = np.load(folder / IMAGES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError):
        return None
    if images.dtype != np.uint8 or images.shape != (n_listed, *decoding.shape):
        return None
    with warnings.catch_warnings():
        # torch warns of read-only arrays. A private writable mapping cannot be larger than the memory there is.
        warnings.simplefilter("ignore")
        tensor = torch.from_numpy(images)
    return Cached(images=tensor[: len(rows)], rows=rows, reasons=reasons, folder=folder, was_there=was_there)


def _make(folder: Path, listing: Listing, scan: Scan, decoding: Decoding, fitting: Fitting) -> None:
    """Decode into a new folder, then rename it to `folder`; only the holder of its lock does this."""
    for left in folder.parent.glob(f".{folder.name}.*"):  # of a process that was killed
        shutil.rmtree(left, ignore_errors=True)
    shutil.rmtree(folder, ignore_errors=True)  # damaged, or it would have been opened
    n_images = len(listing.names)
    wanted = n_images * int(np.prod(decoding.shape))
    make_room(folder.parent, wanted)
    free = shutil.disk_usage(folder.parent).free
    if wanted + MARGIN_BYTES > free:
        raise OSError(errno.ENOSPC, f"{wanted / 2**30:,.1f} GiB are needed and {free / 2**30:,.1f} free")
    made = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    made.mkdir()
    try:
        images = np.lib.format.open_memmap(made / IMAGES, "w+", np.uint8, (n_images, *decoding.shape))
        _allocate(made / IMAGES)
        reasons = dict(scan.reasons) | _decoded(images, listing, scan, fitting)
        _close_gaps(images, reasons)
        images.flush()
        files.write_atomically(made / MANIFEST, _manifest(listing, decoding, reasons))
        made.rename(folder)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise


def _allocate(path: Path) -> None:
    """Reserve the file's room on the disk: to run out of it while writing to a mapping ends a process."""
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as stream:
            os.posix_fallocate(stream.fileno(), 0, path.stat().st_size)


def _decoded(images: npt.NDArray[np.uint8], listing: Listing, scan: Scan, fitting: Fitting) -> dict[int, str]:
    """Decode every image with a sound header into its row of `images`; give the reasons of those that fail, by row."""
    reasons: dict[int, str] = {}
    shape = images.shape[1:]

    def one(row: int) -> None:
        try:
            content = listing.reader.read(row)
        except OSError:
            content = b""
        if hashlib.sha256(content).digest() != scan.digests[row].tobytes():
            raise DatasetError(f"{listing.names[row]} changes while the dataset is read", "wait until it is complete")
        try:
            images[row], _ = decode(io.BytesIO(content), shape, fitting)
        except Unreadable as error:
            reasons[row] = str(error)

    for_each([row for row in range(len(listing.names)) if row not in scan.reasons], one, what="decoding")
    return reasons


def _close_gaps(images: npt.NDArray[np.uint8], left_out: dict[int, str]) -> None:
    """Move the images up to where others were left out, so that those of a split are neighbours."""
    if not left_out:
        return
    target = first = min(left_out)
    for row in range(first, len(images)):
        if row not in left_out:
            images[target] = images[row]
            target += 1


def _manifest(listing: Listing, decoding: Decoding, reasons: dict[int, str]) -> bytes:
    content: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "cvexp": VERSION,
        "place": listing.place,
        "decoding": asdict(decoding),
        "n_images": len(listing.names) - len(reasons),
        "left_out": {str(row): reason for row, reason in sorted(reasons.items())},
    }
    return json.dumps(content, indent=1).encode()


@contextlib.contextmanager
def _explained(root: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the decoded images cannot be written to {root}: {error.strerror or error}",
            "make room, choose a smaller --image-size, or set XDG_CACHE_HOME to another folder",
        ) from error
