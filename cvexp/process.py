"""This process: whether it is the command line's own, one of several that train together, and how much memory it took.

In others than its own cvexp leaves environment, loggers and exit handling.
"""

import contextlib
import os
import re
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

PROCESS = Path("/proc/self")
KIB = 1024

_OWN = threading.Event()


def take() -> None:
    """Called by the command line: the process is cvexp's own."""
    _OWN.set()


def is_own() -> bool:
    """Whether `take` was called."""
    return _OWN.is_set()


@dataclass(frozen=True, kw_only=True, slots=True)
class Rank:
    """The place of this process among those that torchrun, or `--devices`, started for one training.

    Attributes:
        rank: From 0; that one writes the run, and speaks.
        world: How many processes there are.
        local_rank: From 0, on this machine.
        local_world: How many there are on this machine.
        node: From 0, the machine.
        attempt: How often torchrun has restarted them.
    """

    rank: int
    world: int
    local_rank: int
    local_world: int
    node: int
    attempt: int


_LAUNCH = "TORCHELASTIC_RUN_ID"
_NUMBERS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "GROUP_RANK", "TORCHELASTIC_RESTART_COUNT")


def rank_here() -> Rank | None:
    """See Rank; None where this process trains alone, or is not the command line's own."""
    try:
        rank, world, local_rank, local_world, node, attempt = (int(os.environ[name]) for name in _NUMBERS)
    except (KeyError, ValueError):
        return None
    if not is_own() or _LAUNCH not in os.environ or world < 2:  # noqa: PLR2004 - one is alone
        return None
    return Rank(rank=rank, world=world, local_rank=local_rank, local_world=local_world, node=node, attempt=attempt)


def launch_id() -> str:
    """Identifies the processes that were started together, with those that they were restarted as, on this machine."""
    import psutil

    launcher = psutil.Process(os.getppid())
    return f"{os.environ.get(_LAUNCH, '')}:{launcher.pid}:{launcher.create_time():.2f}"


def resident_peak() -> int | None:
    """Bytes. On Linux the kernel's VmHWM: `ru_maxrss` begins with what the process that started this one had."""
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s+(\d+) kB$", (PROCESS / "status").read_text(), re.MULTILINE)
        if found:
            return int(found[1]) * KIB
    try:
        import resource
    except ImportError:  # Windows
        return None
    unit = 1 if sys.platform == "darwin" else KIB
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
