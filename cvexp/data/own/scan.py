"""What is in each image file: its digest and its header. Files that have not changed are not read again."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp import files
from cvexp.data.images import Header, Unreadable, read_header
from cvexp.data.own.parallel import for_each

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from cvexp.data.own.listing import Listing

SCHEMA_VERSION = 1
DIGEST_BYTES = 32
SETTLED_NS = 2 * 10**9
"""A file that changed so shortly before it was read may change again without another time of modification."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Scan:
    """N images as they are in their files.

    Attributes:
        digests: uint8 (N, 32), the SHA-256 of each encoded image; zeros where it cannot be read.
        n_bytes: int64 (N,), of the encoded images.
        modes: In Pillow's words; empty where the header cannot be read.
        sizes: int64 (N, 2), width and height as shown.
        reasons: Why an image's header cannot be read, by row.
        n_read: How many files were read now.
    """

    digests: npt.NDArray[np.uint8]
    n_bytes: npt.NDArray[np.int64]
    modes: Sequence[str]
    sizes: npt.NDArray[np.int64]
    reasons: dict[int, str]
    n_read: int

    def is_grey(self, row: int) -> bool:
        """Whether an image has no colours."""
        return Header(self.modes[row], 0, 0).is_grey


def scan(listing: Listing, index: Path) -> Scan:
    """Look at every image; what `index`, a file of an earlier look, says of files with the same stamp is taken over.

    The index is written again if anything changed; where it cannot be, the next look reads everything again.
    """
    stamps, now = listing.reader.stamps(), time.time_ns()
    known = _read_index(index)
    rows = _Rows(len(listing.names))
    todo = [
        row
        for row, name in enumerate(listing.names)
        if not (entry := known.get(name)) or entry[:2] != stamps[row].tolist() or not rows.take(row, entry)
    ]

    def look(row: int) -> None:
        try:
            content = listing.reader.read(row)
            rows.digests[row] = np.frombuffer(hashlib.sha256(content).digest(), np.uint8)
            rows.n_bytes[row] = len(content)
            header = read_header(io.BytesIO(content))
        except OSError as error:
            rows.reasons[row], rows.is_gone[row] = error.strerror or str(error), True
        except Unreadable as error:
            rows.reasons[row] = str(error)
        else:
            rows.modes[row], rows.sizes[row] = header.mode, header[1:]

    if todo:
        for_each(todo, look, what="reading")
    if todo or len(known) != len(listing.names):
        _write_index(index, listing.names, stamps, rows, before=now - SETTLED_NS)
    return Scan(
        digests=rows.digests,
        n_bytes=rows.n_bytes,
        modes=rows.modes,
        sizes=rows.sizes,
        reasons=rows.reasons,
        n_read=len(todo),
    )


class _Rows:
    """Scan's arrays while they are filled."""

    def __init__(self, n_images: int) -> None:
        self.digests = np.zeros((n_images, DIGEST_BYTES), np.uint8)
        self.n_bytes = np.zeros(n_images, np.int64)
        self.modes = [""] * n_images
        self.sizes = np.zeros((n_images, 2), np.int64)
        self.reasons: dict[int, str] = {}
        self.is_gone = np.zeros(n_images, np.bool_)

    def take(self, row: int, entry: Sequence[Any]) -> bool:
        """Fill a row from an entry of an index, as `entry` writes it; False if it is none."""
        try:
            _, _, digest, n_bytes, mode, width, height, reason = entry
            self.digests[row] = np.frombuffer(bytes.fromhex(digest), np.uint8)
            self.n_bytes[row], self.sizes[row] = n_bytes, (width, height)
            self.modes[row] = str(mode)
        except (ValueError, TypeError, OverflowError):
            return False
        if reason:
            self.reasons[row] = str(reason)
        return True

    def entry(self, row: int) -> list[Any]:
        """A row for an index, without its stamp."""
        width, height = self.sizes[row].tolist()
        digest = self.digests[row].tobytes().hex()
        return [digest, int(self.n_bytes[row]), self.modes[row], width, height, self.reasons.get(row, "")]


def _read_index(path: Path) -> dict[str, list[Any]]:
    with contextlib.suppress(OSError, ValueError, AttributeError, KeyError):
        content = json.loads(path.read_bytes())
        if content.get("schema_version") == SCHEMA_VERSION and isinstance(content["images"], dict):
            return {name: entry for name, entry in content["images"].items() if isinstance(entry, list)}
    return {}


def _write_index(path: Path, names: Sequence[str], stamps: npt.NDArray[np.int64], rows: _Rows, *, before: int) -> None:
    """Write what is settled: files that could be read, and were last changed some time before."""
    settled = (stamps[:, 1] < before) & ~rows.is_gone
    images = {name: [*stamps[row].tolist(), *rows.entry(row)] for row, name in enumerate(names) if settled[row]}
    content = json.dumps({"schema_version": SCHEMA_VERSION, "images": images}, separators=(",", ":"))
    with contextlib.suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_atomically(path, content.encode())
