"""Whether this process is cvexp's own, as under the command line, or somebody's who imported it, as in a notebook.

In somebody's process their environment, loggers and exit stay theirs.
"""

from __future__ import annotations

import threading

_OWN = threading.Event()


def take() -> None:
    """Say that the process is cvexp's own; the command line does."""
    _OWN.set()


def is_own() -> bool:
    """Whether it is."""
    return _OWN.is_set()
