"""Contention for CPU cores: how long this process ran, and how long its threads waited for a core that others had."""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path

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
