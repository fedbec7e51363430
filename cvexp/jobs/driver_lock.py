"""One driver at a time: what a process trains in a store, no second process on this machine trains too."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from cvexp.errors import RunError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.settings import StoreSettings

FOLDER = "drivers"
_DIGITS = 16


@contextlib.contextmanager
def driver_lock(settings: StoreSettings, work: str, *, called: str) -> Iterator[None]:
    """Lock `work`, such as a sweep's digest, in this store and experiment, for the block.

    The system releases the lock when the process ends. `called` is how a message names the work.

    Raises:
        RunError: Another process has locked it.
        StorageError: The lock's file cannot be written.
    """
    from cvexp.tracking.local import address_of

    identity = "\n".join((address_of(settings, state_dir=settings.state_dir), settings.experiment, work))
    name = hashlib.sha256(identity.encode()).hexdigest()[:_DIGITS]
    folder = settings.state_dir / FOLDER
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{name}.lock")
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(
            f"{called} is being trained by another process",
            "wait for it, or stop it with Ctrl-C: it keeps checkpoints",
            "then give the same command again; what is trained is not trained twice",
        ) from error
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}", "make room there") from error
    try:
        yield
    finally:
        lock.release()
