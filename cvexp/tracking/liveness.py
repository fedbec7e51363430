"""Which process writes a run, and whether it has ended."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

HOST, PID, STARTED = "cvexp.host", "cvexp.pid", "cvexp.process_started"
BOOT, NAMESPACE = "cvexp.boot_id", "cvexp.pid_namespace"
GIVEN_UP = "cvexp.given_up"
"""The tag by which a driver says that it has given a process up: the one with that `process_key`."""

_SAME_SECONDS = 1.5
"""Two readings of one process's start differ by less; the system counts in hundredths."""


def process_tags() -> dict[str, str]:
    """Tags that say which process writes a run; `STARTED` in seconds since the Unix epoch.

    Containers of one machine may share a host name, and each counts processes from 1 in its own namespace.
    """
    import psutil

    return {
        HOST: socket.gethostname(),
        PID: str(os.getpid()),
        STARTED: f"{psutil.Process().create_time():.2f}",
        BOOT: _boot_id(),
        NAMESPACE: _pid_namespace(),
    }


def process_key(tags: Mapping[str, str]) -> str:
    """The process that `process_tags` described, on one line; another process never has the same key."""
    return " ".join(tags.get(name, "") for name in (HOST, PID, STARTED, BOOT, NAMESPACE))


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that `process_tags` described has certainly ended; False where that cannot be known.

    That is on another machine, after another boot, in another PID namespace, and for tags that do not say; but for a
    process that its driver has given up (see tracking.attempts): whatever it still does, its run will not count.
    """
    import psutil

    if tags.get(GIVEN_UP) == process_key(tags):
        return True
    here = {HOST: socket.gethostname(), BOOT: _boot_id(), NAMESPACE: _pid_namespace()}
    if any(tags.get(name) != value for name, value in here.items()):
        return False
    try:
        pid, tagged = int(tags[PID]), float(tags[STARTED])
    except (KeyError, ValueError):
        return False
    try:
        process = psutil.Process(pid)
        started, dead = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, ValueError, OverflowError):
        return False
    return dead or abs(started - tagged) > _SAME_SECONDS


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:  # not Linux
        import psutil

        return f"{psutil.boot_time():.0f}"


def _pid_namespace() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux
        return "none"
