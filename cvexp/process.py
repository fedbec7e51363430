"""This process: whether it is the command line's own, and how much memory it has taken.

In others than its own cvexp leaves environment, loggers and exit handling.
"""

import contextlib
import re
import sys
import threading
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
