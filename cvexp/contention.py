"""Contention for CPU cores: how long this process ran, and how long its threads waited for a core that others had."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Self

TASKS = Path("/proc/self/task")
"""A folder for each thread; the second field of its `schedstat` counts nanoseconds waited for a core (Linux)."""

BUSY_SHARE = 0.02
"""Of the wall-clock time: a measurement that waited longer for cores than this was disturbed by others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CpuTimes:
    """A reading, in seconds: the monotonic clock, and for this process so far the CPU time and the time waited.

    `waited` is summed over the threads that live; None where the system does not count it.
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

    def waited_share(self, n_threads: int) -> float:
        """Of the wall-clock time, the share that one of `n_threads` working threads waited for a core, in [0, 1].

        Where the system does not count waiting, it is what the threads lack of running all the time; that is right for
        work that never sleeps, such as a step on the CPU.
        """
        if self.wall <= 0:
            return 0.0
        waited = n_threads * self.wall - self.cpu if self.waited is None else self.waited
        return min(1.0, max(0.0, waited / (n_threads * self.wall)))


def read_cpu_times() -> CpuTimes:
    """A reading now; it takes some 30 microseconds and 10 for each thread."""
    return CpuTimes(wall=time.perf_counter(), cpu=time.process_time(), waited=_waited())


def _waited() -> float | None:
    total, counted = 0, False
    for task in TASKS.iterdir() if TASKS.is_dir() else ():
        with contextlib.suppress(OSError, ValueError, IndexError):  # the thread ended meanwhile, or it is not counted
            total += int((task / "schedstat").read_text().split()[1])
            counted = True
    return total / 1e9 if counted else None


class CpuMeter:
    """Takes readings like `read_cpu_times` in some 5 microseconds: the files of the threads stay open.

    Use it as a context manager, which closes them. The time that an ended thread waited until its last reading stays
    in the sum.
    """

    def __init__(self) -> None:
        self._files: dict[str, int] = {}  # descriptors by thread
        self._waited: dict[str, int] = {}  # nanoseconds by thread, ended ones too
        self._n_links = 0

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
                self._waited[thread] = int(os.pread(descriptor, 80, 0).split()[1])
            except (OSError, ValueError, IndexError):  # the thread ended
                os.close(self._files.pop(thread))
        waited = sum(self._waited.values()) / 1e9 if self._waited else None
        return CpuTimes(wall=time.perf_counter(), cpu=time.process_time(), waited=waited)

    def _open_new(self) -> None:
        for thread in os.listdir(TASKS):
            if thread not in self._files:
                with contextlib.suppress(OSError):
                    self._files[thread] = os.open(TASKS / thread / "schedstat", os.O_RDONLY)
