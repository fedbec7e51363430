"""Room for decoded images: caches that were used longest ago go first, and none that a process has in use.

A process locks the manifest of every cache it opens, shared, until it ends; who removes a cache locks it exclusively.
The time of the manifest's last modification is that of the cache's last use.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
from typing import IO, TYPE_CHECKING

from cvexp.settings import image_cache_limit

if sys.platform != "win32":  # there, what is mapped cannot be removed or renamed
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MANIFEST = "manifest.json"
MARGIN_BYTES = 2**26
"""Of the disk, to be left free."""

_held: dict[Path, IO[bytes]] = {}
"""Locked manifests of the caches that this process has in use."""


def hold(folder: Path) -> None:
    """Keep the cache in `folder` from being removed until this process ends; OSError if there is none."""
    if folder in _held and _is_the_one(_held[folder], folder):
        return
    with contextlib.ExitStack() as closing:
        stream = closing.enter_context((folder / MANIFEST).open("rb"))
        if sys.platform != "win32":
            fcntl.flock(stream, fcntl.LOCK_SH)
        if not _is_the_one(stream, folder):  # it was removed before it was locked
            raise FileNotFoundError(folder)
        closing.pop_all()
    _held[folder] = stream
    with contextlib.suppress(OSError):  # a cache that is read-only is none that is removed here
        os.utime(folder / MANIFEST)


def _is_the_one(stream: IO[bytes], folder: Path) -> bool:
    """Whether an open manifest is that of the cache which is in `folder` now."""
    return os.path.samestat(os.fstat(stream.fileno()), (folder / MANIFEST).stat())


def caches(root: Path) -> list[tuple[Path, int]]:
    """Every cache below `root` with its bytes on the disk, the one that was used longest ago first."""
    found = []
    for manifest in root.glob(f"[!.]*/{MANIFEST}"):
        with contextlib.suppress(OSError):
            found.append((manifest.stat().st_mtime_ns, manifest.parent, cached_bytes(manifest.parent)))
    return [(folder, size) for _, folder, size in sorted(found)]


def cached_bytes(folder: Path) -> int:
    """What a cache takes of the disk."""
    with contextlib.suppress(OSError):
        return sum(file.stat().st_size for file in folder.iterdir())
    return 0


def limit(root: Path) -> int:
    """Bytes that the caches below `root` may take together: as the user says, else half of what they could take."""
    asked = image_cache_limit()
    if asked is not None:
        return asked
    return (sum(size for _, size in caches(root)) + shutil.disk_usage(root).free) // 2


def make_room(root: Path, n_bytes: int) -> None:
    """Remove caches below `root` until `n_bytes` more are within the limit and on the disk, or no other can go."""
    for left in root.glob(".*.*"):
        _remove_left(left)
    most, found = limit(root), caches(root)
    used = sum(size for _, size in found)
    for folder, size in found:
        if used + n_bytes <= most and n_bytes + MARGIN_BYTES <= shutil.disk_usage(root).free:
            return
        if _removed(folder):
            used -= size


def clear(root: Path) -> tuple[int, int, int]:
    """Remove the caches below `root` that no process has in use; give how many, their bytes, and how many stay."""
    for left in root.glob(".*.*"):
        _remove_left(left)
    sizes = [(size, _removed(folder)) for folder, size in caches(root)]
    removed = [size for size, gone in sizes if gone]
    return len(removed), sum(removed), len(sizes) - len(removed)


def _removed(folder: Path) -> bool:
    """Remove a cache; False if it is in use, or cannot be removed."""
    gone = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}")
    try:
        with _exclusively(folder):
            folder.rename(gone)
    except OSError:
        return False
    shutil.rmtree(gone, ignore_errors=True)
    return True


@contextlib.contextmanager
def _exclusively(folder: Path) -> Iterator[None]:
    """Within the block, be the only one with the cache in `folder`; OSError if another has it in use."""
    if sys.platform == "win32":
        yield
    else:
        with (folder / MANIFEST).open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield


def _remove_left(folder: Path) -> None:
    """Remove what a process that was killed left while it made or removed a cache."""
    from filelock import FileLock, Timeout

    key = folder.name.split(".")[1]
    with contextlib.suppress(OSError, Timeout), FileLock(folder.parent / f"{key}.lock", timeout=0):
        shutil.rmtree(folder, ignore_errors=True)
