"""Which exported files are this user's own: for runtimes that trust what they read, and cannot be given a stranger's.

A card beside a file proves nothing, since who makes the one makes the other. So the digest of each file that is written
here is kept, in the platform's folder for the user's state; an empty file named by it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.errors import WeightsError
from cvexp.settings import exported_digests

if TYPE_CHECKING:
    from pathlib import Path


def remember(sha256: str) -> str:
    """Keep the digest of a file that is being written, and return it. Raises OSError."""
    folder = exported_digests()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / sha256).touch()
    return sha256


def check_own(path: Path, *, sha256: str, runtime: str, remedy: str) -> None:
    """Raise WeightsError unless the file at `path`, whose digest is verified, was written by this user's cvexp here."""
    if not (exported_digests() / sha256).is_file():
        raise WeightsError(
            f"{path} was not exported by you on this machine, and {runtime} trusts the files that it reads", remedy
        )
