"""Files that hold all of what was written or what was there before, whatever ends the process that writes them."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_RANDOM_BYTES = 8
_TEMPORARY = re.compile(rf"\..+\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}")


def write_atomically(path: Path, content: bytes) -> None:
    """Put `content` at `path`: a temporary file beside it, flushed to the disk, then renamed into place."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(_RANDOM_BYTES)}")
    try:
        with temporary.open("xb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def write_at(path: Path, content: bytes, *, offset: int) -> None:
    """Make `content` the end of the file at `path`, from byte `offset` on, and flush it to the disk.

    What stands before `offset` is not touched, so that whoever knows how far the file was whole can still read that
    much, whatever ends the process that writes.
    """
    with path.open("r+b" if path.exists() else "x+b") as stream:
        stream.truncate(offset)
        stream.seek(offset)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def remove_temporaries(folder: Path) -> None:
    """Remove what a process that was killed while it wrote left under `folder`, where nobody else writes now."""
    for file in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(file.name):
            file.unlink()
