"""How busy the machine is: CPUs that other programs use, load average, CPU pressure; and its memory for files."""

from __future__ import annotations

import contextlib
import math
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
"""Where Linux says what it does; another folder in tests."""

GROUPS = Path("/sys/fs/cgroup")
"""Where Linux says what control groups may have; another folder in tests."""

LEAST_SECONDS = 0.1
"""Between two readings of CPU times, which the system counts in hundredths of a second."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineTimes:
    """A reading, in seconds, of the `n_cpus` CPUs that this process may use.

    Attributes:
        wall: The monotonic clock.
        busy: In which they ran any program, or a hypervisor took them away; summed over the CPUs.
        idle: In which they ran none.
        own: CPU time of this process and of its children that have ended.
    """

    wall: float
    busy: float
    idle: float
    own: float
    n_cpus: int

    def until(self, later: MachineTimes) -> Occupancy | None:
        """What other programs used from this reading to a later one; None where the system does not count it."""
        wall, busy = later.wall - self.wall, later.busy - self.busy
        counted = busy + later.idle - self.idle
        if wall <= 0 or counted < wall * later.n_cpus / 2:  # a sandbox may show zeros
            return None
        taken = later.n_cpus * busy / counted - (later.own - self.own) / wall
        return Occupancy(taken=min(float(later.n_cpus), max(0.0, taken)), n_cpus=later.n_cpus)


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupancy:
    """How many of `n_cpus` CPUs other programs use, as a mean over some time, in [0, n_cpus]."""

    taken: float
    n_cpus: int

    @property
    def n_free(self) -> int:
        """CPUs that are left, at least 1; one that is used for less than half of the time counts as free."""
        return max(1, math.floor(self.n_cpus - self.taken + 0.5))

    def __str__(self) -> str:
        return f"other programs use {self.taken:.1f} of {self.n_cpus} CPUs"


@dataclass(frozen=True, kw_only=True, slots=True)
class MachineState:
    """The load average of the last minute, and the CPU pressure; None where the system does not say.

    The pressure is the percentage of the last ten seconds in which some program waited for a core.
    """

    load: float | None
    pressure: float | None

    def __str__(self) -> str:
        load = [] if self.load is None else [f"load {self.load:.1f}"]
        return ", ".join([*load, *([] if self.pressure is None else [f"CPU pressure {self.pressure:.0f}%"])])


def read_machine_times() -> MachineTimes | None:
    """A reading now, in some 0.2 milliseconds; None where the system does not say."""
    by_cpu = _times_by_cpu()
    usable = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else by_cpu.keys()
    times = [by_cpu[cpu] for cpu in by_cpu.keys() & usable]
    if not times:
        return None
    children = os.times()
    return MachineTimes(
        wall=time.monotonic(),
        busy=sum(busy for busy, _ in times),
        idle=sum(idle for _, idle in times),
        own=time.process_time() + children.children_user + children.children_system,
        n_cpus=len(times),
    )


def occupancy_since(before: MachineTimes | None) -> Occupancy | None:
    """What other programs have used since `before`; waits until that is `LEAST_SECONDS` ago."""
    if before is None:
        return None
    time.sleep(max(0.0, before.wall + LEAST_SECONDS - time.monotonic()))
    now = read_machine_times()
    return None if now is None else before.until(now)


def read_machine_state() -> MachineState:
    """The load and the pressure now."""
    load = pressure = None
    with contextlib.suppress(OSError, AttributeError):  # AttributeError: Windows
        load = os.getloadavg()[0]
    with contextlib.suppress(OSError):
        found = re.search(r"^some avg10=([\d.]+)", (PROC / "pressure/cpu").read_text(), re.MULTILINE)
        pressure = float(found[1]) if found else None
    return MachineState(load=load, pressure=pressure)


def memory_for_files() -> int | None:
    """Bytes of memory that could hold what is read of files, what does now among them; None where it is not known.

    Of the machine, or of the strictest control group that this process is in. Resource limits (RLIMIT_AS, RLIMIT_DATA)
    do not count pages of files.
    """
    found = [_machine_memory(), *map(_left_for_files, _memory_groups())]
    return min((one for one in found if one is not None), default=None)


def _machine_memory() -> int | None:
    with contextlib.suppress(OSError):
        found = re.search(r"^MemAvailable:\s+(\d+) kB$", (PROC / "meminfo").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    return None


def _memory_groups() -> list[Path]:
    """The folders of the control groups that count this process's memory, of version 1 and 2, and those above them."""
    folders: list[Path] = []
    with contextlib.suppress(OSError):
        for line in (PROC / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                group = GROUPS / controllers / path.lstrip("/")
                folders += [one for one in (group, *group.parents) if one.is_relative_to(GROUPS) and one.is_dir()]
    return folders


def _left_for_files(group: Path) -> int | None:
    """A group's limit less what it holds besides files; None without a limit."""
    for limit, used, cache in (
        ("memory.max", "memory.current", "file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_cache"),
    ):
        with contextlib.suppress(OSError, ValueError, KeyError):  # ValueError: "max" is none
            most, taken = int((group / limit).read_text()), int((group / used).read_text())
            held = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
            return max(0, most - taken + int(held[cache]))
    return None


def _times_by_cpu() -> dict[int, tuple[float, float]]:
    """Seconds busy and idle by CPU."""
    try:
        lines = re.findall(r"^cpu(\d+) (.+)$", (PROC / "stat").read_text(), re.MULTILINE)
    except OSError:
        return _times_elsewhere()
    ticks = os.sysconf("SC_CLK_TCK")
    found = {}
    for cpu, text in lines:
        # user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of user and nice (proc(5))
        with contextlib.suppress(ValueError):
            counts = [int(count) / ticks for count in text.split()[:8]]
            idle = sum(counts[3:5])
            found[int(cpu)] = sum(counts) - idle, idle
    return found


def _times_elsewhere() -> dict[int, tuple[float, float]]:
    import psutil

    with contextlib.suppress(OSError, RuntimeError):
        return {cpu: (sum(one) - one.idle, one.idle) for cpu, one in enumerate(psutil.cpu_times(percpu=True))}
    return {}
