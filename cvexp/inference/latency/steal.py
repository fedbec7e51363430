"""What the host of a virtual machine took of its CPU time."""

from __future__ import annotations

from typing import NamedTuple

from cvexp.machine import PROC

STEAL = 7
"""The column after user, nice, system, idle, iowait, irq and softirq in /proc/stat; later ones are counted twice."""


class Ticks(NamedTuple):
    """CPU time of all cores so far, and what of it the host gave to other machines."""

    every: int
    stolen: int


def read_ticks() -> Ticks | None:
    """The ticks now; None where the system does not count them."""
    try:
        columns = [int(word) for word in (PROC / "stat").read_text().splitlines()[0].split()[1:]]
        return Ticks(every=sum(columns[: STEAL + 1]), stolen=columns[STEAL])
    except (OSError, ValueError, IndexError):
        return None


def steal_share(before: Ticks | None, after: Ticks | None) -> float | None:
    """Share of the CPU time between two readings that was stolen, in [0, 1]."""
    if before is None or after is None:
        return None
    every = after.every - before.every
    return max(0.0, (after.stolen - before.stolen) / every) if every > 0 else 0.0
