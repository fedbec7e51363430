"""The hidden folder in which files are made and proven before they come to their place, also after kills.

Its process holds a lock in it until it ends. A folder whose lock is free was left by one that was killed, and goes when
the next one is made beside it.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

PREFIX = ".cvexp-"
LOCK = ".lock"
UNLOCKED_SECONDS = 3600.0
"""A folder without a lock, as earlier versions made them, or one that is being made, is left in peace for so long."""


@contextlib.contextmanager
def staging_folder(folder: Path) -> Iterator[Path]:
    """Within the block, a new folder inside `folder`, which is made where it does not exist.

    Raises:
        ConfigError: There can be none.
    """
    from filelock import FileLock

    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{PREFIX}*"):
            if is_left(left):
                shutil.rmtree(left, ignore_errors=True)
        made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
        lock = FileLock(made / LOCK)
        lock.acquire(timeout=0)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield made
    finally:
        lock.release()
        shutil.rmtree(made, ignore_errors=True)


def is_left(folder: Path) -> bool:
    """Whether a staging folder was left by a process that has ended; False for a link or another user's folder."""
    from filelock import FileLock, Timeout

    try:
        found = folder.lstat()
        if folder.is_symlink() or not folder.is_dir():
            return False
        if not (folder / LOCK).is_file():
            return time.time() - found.st_mtime > UNLOCKED_SECONDS
        with FileLock(folder / LOCK, timeout=0):
            return True
    except (OSError, Timeout):
        return False


def unwritable(path: Path, error: OSError) -> ConfigError:
    """The error about a place that cannot be written."""
    return ConfigError(f"cannot write {path}: {error.strerror or error}", "choose another place with --out")
