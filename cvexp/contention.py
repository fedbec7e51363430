"""Contention for CPU cores: how long this process ran, and how long its threads waited for a core that others had."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

TASKS = Path("/proc/self/task")
"""A folder for each thread; the second field of its `schedstat` counts nanoseconds waited for a core (Linux)."""

BUSY_SHARE = 0.02
"""Of the wall-clock time: a measurement that waited longer for cores than this was disturbed by others."""

BUSY_TRAINING_SHARE = 0.05
"""Likewise for training steps: times of a run that waited longer than this are not ranked."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CpuTimes:
    """A reading, in seconds: the monotonic clock, and for this process so far the CPU time and the time waited.

    `waited` is summed over the living threads that compute: all but Python's own other ones, which send records and
    write files. None where the system does not count it.
    """

    wall: float
    cpu: float
    waited: float | None

    def until(self, later: CpuTimes) -> CpuUse:
        """What lies between this reading and a later one."""
        # A thread that ended takes its count along, so that a sum may shrink.
        waited = None if self.waited is None or later.waited is None else max(0.0, later.waited - self.waited)
        return CpuUse(wall=later.wall - self.wall, cpu=later.cpu - self.cpu, waited=waited)


@dataclass(frozen=True, kw_only=True, slots=True)
class CpuUse:
    """Seconds between two readings; see CpuTimes."""

    wall: float
    cpu: float
    waited: float | None

    def waited_seconds(self, n_threads: int = 1) -> float:
        """Seconds that threads waited for a core, summed over them.

        Where the system does not count that, it is what the CPU time lacks of `n_threads` that run all the time, so
        give only as many as never sleep.
        """
        return max(0.0, n_threads * self.wall - self.cpu) if self.waited is None else self.waited

    def waited_share(self, n_threads: int = 1) -> float:
        """Of the wall-clock time, the share in which some thread waited for a core, in [0, 1]; see `waited_seconds`.

        Threads of one operation wait for each other, so one that has no core delays all: the seconds are added up.
        Where two of them waited at the same time, the share is too large.
        """
        return min(1.0, self.waited_seconds(n_threads) / self.wall) if self.wall > 0 else 0.0


@dataclass(kw_only=True, slots=True)
class CpuTotal:
    """CPU use, in seconds, of work that is stopped and started again, also by another process.

    Attributes:
        never_sleeps: Whether the work always computes, so that time without CPU time was waited where the system does
            not count waiting; work that waits for a GPU sleeps.
        cpu: CPU time of all threads.
        waited: Summed over threads, see CpuUse; None once it is not known for a part.
    """

    never_sleeps: bool
    cpu: float = 0.0
    waited: float | None = 0.0
    _since: CpuTimes | None = None

    def start(self) -> None:
        """Count from now on."""
        self._since = read_cpu_times()

    def stop(self) -> None:
        """Count until now."""
        if self._since is None:
            return
        use = self._since.until(read_cpu_times())
        self.cpu += use.cpu
        known = self.never_sleeps or use.waited is not None
        self.waited = self.waited + use.waited_seconds() if known and self.waited is not None else None
        self._since = None

    def plain(self) -> dict[str, float | None]:
        """The seconds up to now, for `go_on_from`; counting goes on."""
        if self._since is not None:
            self.stop()
            self.start()
        return {"cpu": self.cpu, "waited": self.waited}

    def go_on_from(self, plain: Mapping[str, float | None]) -> None:
        """Add to what was counted before; nothing is known of it where `plain` is empty."""
        self.cpu, self.waited = plain.get("cpu") or 0.0, plain.get("waited")


def read_cpu_times() -> CpuTimes:
    """A reading now; it takes some 30 microseconds and 10 for each thread."""
    return CpuTimes(wall=time.perf_counter(), cpu=time.process_time(), waited=_waited())


def _waited() -> float | None:
    helpers = _helpers()
    total, counted = 0, False
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        with contextlib.suppress(OSError, ValueError):  # the thread ended meanwhile, or it is not counted
            if task.name in helpers:
                continue
            ran, waited = (task / "schedstat").read_text().split()[:2]
            total += int(waited)
            counted = counted or ran != "0"  # a kernel that does not count shows zeros
    return total / 1e9 if counted else None


class CpuMeter:
    """Takes readings like `read_cpu_times` in some 10 microseconds: the files of the threads stay open.

    Use it as a context manager, which closes them. What an ended thread had waited at its last reading stays in the
    sum.
    """

    def __init__(self) -> None:
        self._files: dict[str, int] = {}  # descriptors by thread
        self._waited: dict[str, int] = {}  # nanoseconds by thread, ended ones too
        self._n_links = 0
        self._counted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        for descriptor in self._files.values():
            os.close(descriptor)
        self._files.clear()

    def read(self) -> CpuTimes:
        """A reading now."""
        with contextlib.suppress(OSError):
            n_links = TASKS.stat().st_nlink  # changes with the number of threads
            if n_links != self._n_links:
                self._n_links = n_links
                self._open_new()
        for thread, descriptor in list(self._files.items()):
            try:
                ran, waited = os.pread(descriptor, 80, 0).split()[:2]
            except (OSError, ValueError):  # the thread ended, or it is not counted
                os.close(self._files.pop(thread))
                continue
            self._waited[thread] = int(waited)
            self._counted = self._counted or ran != b"0"
        waited_seconds = sum(self._waited.values()) / 1e9 if self._counted else None
        return CpuTimes(wall=time.perf_counter(), cpu=time.process_time(), waited=waited_seconds)

    def _open_new(self) -> None:
        known = self._files.keys() | _helpers()
        for task in TASKS.iterdir():
            if task.name not in known:
                with contextlib.suppress(OSError):
                    self._files[task.name] = os.open(task / "schedstat", os.O_RDONLY)


def _helpers() -> set[str]:
    """Python's own threads besides this one."""
    return {str(one.native_id) for one in threading.enumerate()} - {str(threading.get_native_id())}
