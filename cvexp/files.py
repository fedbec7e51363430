"""Atomic writes, appends that a crash cannot damage, and digests."""

import contextlib
import hashlib
import os
import re
import secrets
from pathlib import Path

_RANDOM_BYTES = 8
_TEMPORARY = re.compile(rf"\..+\.[0-9a-f]{{{2 * _RANDOM_BYTES}}}")


def write_atomically(path: Path, content: bytes) -> None:
    """Write `content` to a temporary file beside `path`, fsync it, then rename it to `path`."""
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


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits; it is read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_at(path: Path, content: bytes, *, offset: int) -> None:
    """Replace everything from byte `offset` on with `content`, and fsync.

    Bytes before `offset` are not touched: after a crash, a reader that knows how long the file was can read that much.
    """
    with path.open("r+b" if path.exists() else "x+b") as stream:
        stream.truncate(offset)
        stream.seek(offset)
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def remove_temporaries(folder: Path) -> None:
    """Remove temporary files that killed writers left under `folder`; no other process may be writing there."""
    for file in folder.rglob(".*"):
        if _TEMPORARY.fullmatch(file.name):
            file.unlink()
