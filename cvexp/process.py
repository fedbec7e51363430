"""Whether this process is the command line's own, or a program (a notebook, for instance) that imported cvexp.

In the latter cvexp leaves environment variables, loggers and exit handling as they are.
"""

from __future__ import annotations

import threading

_OWN = threading.Event()


def take() -> None:
    """Called by the command line: the process is cvexp's own."""
    _OWN.set()


def is_own() -> bool:
    """Whether `take` was called."""
    return _OWN.is_set()
