"""How long a process waits for the tracking store: one deadline shared by all calls."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DEADLINE_SECONDS = 10.0  # how long training waits for a tracking store that makes no progress, in total
STOP_SECONDS = 2.0  # how long it still waits once it should stop
STALL_SECONDS = 2.0  # after so many seconds without a delivered record the store makes no progress
_TICK_SECONDS = 0.05


class Deadline:
    """A limit on the total time spent waiting for the store; only waiting without progress counts.

    Once `should_stop()`, at most `STOP_SECONDS` more are waited, with or without progress.

    Args:
        seconds: The limit; `left` says how many may still be waited.
        should_stop: Whether the process was asked to stop.
        stall_seconds: Waiting counts when the last progress is longer ago; by default `STALL_SECONDS`, or a fifth of
            a limit below ten seconds. With 0 all waiting counts.
    """

    def __init__(
        self,
        seconds: float = DEADLINE_SECONDS,
        *,
        should_stop: Callable[[], bool] = lambda: False,
        stall_seconds: float | None = None,
    ) -> None:
        self.left = seconds
        self.stall_seconds = min(STALL_SECONDS, seconds / 5) if stall_seconds is None else stall_seconds
        self._should_stop = should_stop
        self._paused = threading.Event()
        self._idle = self._uncounted = 0.0

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Within the block, which any thread may enter, waiting does not count."""
        self._paused.set()
        try:
            yield
        finally:
            self._paused.clear()

    def wait(self, done: Callable[[float], bool], *, idle_seconds: Callable[[], float] = lambda: math.inf) -> bool:
        """Wait until `done(timeout in seconds)`, or until the limit; returns what `done` returned last.

        `idle_seconds` tells the seconds since the last progress; by default there never was any.
        """
        while True:
            start = time.monotonic()
            stopping = self._should_stop()
            if stopping:
                self.left = min(self.left, STOP_SECONDS)
            counts = self._is_stalled(idle_seconds()) or stopping
            if done(max(0.0, min(self.left, _TICK_SECONDS)) if counts else _TICK_SECONDS):
                return True
            if not self._paused.is_set():
                self._uncounted += time.monotonic() - start
            if counts:
                self.left -= self._uncounted
                self._uncounted = 0.0
            if counts and self.left <= 0:
                return False

    def _is_stalled(self, idle: float) -> bool:
        """Whether the last progress is too long ago; then everything waited since then counts."""
        if idle <= self._idle:  # there was progress meanwhile
            self._uncounted = 0.0
        self._idle = idle
        return idle > self.stall_seconds
