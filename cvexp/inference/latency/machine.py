"""What else the machine was doing during a measurement; read from Linux's /proc, None elsewhere."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_PRESSURE = re.compile(r"some avg10=(\d+\.\d+)")
_STEAL = 7
"""The position of its column among those of the line `cpu` in /proc/stat; guests' time after it is counted twice."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """The machine at one moment.

    Attributes:
        load: Threads that ran or waited to run, on average over the last minute, this process's among them.
        pressure: Percent of the last ten seconds in which some thread waited for a core.
        ticks: CPU time of all cores so far, in ticks, and of it what a host of virtual machines gave to others.
    """

    load: float | None
    pressure: float | None
    ticks: tuple[int, int] | None

    def steal_until(self, later: Machine) -> float | None:
        """Share of the CPU time between two moments that the host gave to others, in [0, 1]."""
        if self.ticks is None or later.ticks is None:
            return None
        total, stolen = (b - a for a, b in zip(self.ticks, later.ticks, strict=True))
        return max(0.0, stolen / total) if total > 0 else 0.0


def read_machine() -> Machine:
    """The machine now."""
    load = pressure = ticks = None
    with contextlib.suppress(OSError, AttributeError):
        load = os.getloadavg()[0]
    with contextlib.suppress(OSError):
        found = _PRESSURE.search((PROC / "pressure" / "cpu").read_text())
        pressure = float(found[1]) if found else None
    with contextlib.suppress(OSError, ValueError, IndexError):
        columns = [int(word) for word in (PROC / "stat").read_text().splitlines()[0].split()[1:]]
        ticks = sum(columns[: _STEAL + 1]), columns[_STEAL]
    return Machine(load=load, pressure=pressure, ticks=ticks)
