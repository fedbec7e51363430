"""Whether this process is the command line's own; in others cvexp leaves environment, loggers and exit handling."""

import threading

_OWN = threading.Event()


def take() -> None:
    """Called by the command line: the process is cvexp's own."""
    _OWN.set()


def is_own() -> bool:
    """Whether `take` was called."""
    return _OWN.is_set()
