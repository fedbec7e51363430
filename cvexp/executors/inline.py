"""One slot in this process: attempts run one after the other in a thread of it. For tests, and for one worker."""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError
from cvexp.executors.perform import killed_in_queue, perform
from cvexp.executors.seam import ATTEMPT, Ended, function

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.executors.seam import Attempt, Event, Executor, Run, Stop


def open_inline(*, n_slots: int = 1, run: str = ATTEMPT, address: str | None = None) -> Executor:
    """The executor; raises ConfigError for more than one slot, and for an address."""
    if n_slots != 1 or address is not None:
        raise ConfigError("the inline executor has one slot in this process", "use the executor local for more")
    return Inline(function(run))


class _Channel:
    """Of the attempt that runs."""

    def __init__(self, attempt: Attempt, events: queue.SimpleQueue[Event]) -> None:
        self.attempt, self._events = attempt, events
        self.stop: Stop | None = None

    def emit(self, event: Event) -> None:
        """See seam.Channel."""
        self._events.put(event)

    def asked(self) -> Stop | None:
        """See seam.Channel."""
        return self.stop


class Inline:
    """See `seam.Executor`; nothing but the attempt itself can end its thread, so a second stop is as the first."""

    n_slots = 1

    def __init__(self, run: Run) -> None:
        self._run = run
        self._waiting: deque[Attempt] = deque()
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._channel: _Channel | None = None
        self._thread = threading.Thread()

    def submit(self, attempt: Attempt) -> None:
        """See seam.Executor."""
        self._waiting.append(attempt)
        self._begin()

    def events(self, timeout: float) -> Iterator[Event]:
        """See seam.Executor."""
        deadline = time.monotonic() + timeout
        while self._channel is not None or not self._events.empty():
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                return
            at_work = self._channel.attempt if self._channel is not None else None
            if isinstance(event, Ended) and at_work is not None and event.trial == at_work.trial:
                self._thread.join()
                self._channel = None
                self._begin()
            yield event

    def stop(self, trial: str, *, early: bool = False) -> None:
        """See seam.Executor."""
        for attempt in [one for one in self._waiting if one.trial == trial]:
            self._waiting.remove(attempt)
            self._events.put(killed_in_queue(attempt))
        if self._channel is not None and self._channel.attempt.trial == trial:
            self._channel.stop = "early" if early and self._channel.stop is None else "now"

    def close(self, *, kill: bool = False) -> None:
        """See seam.Executor."""
        self._waiting.clear()
        if self._channel is not None:
            self._channel.stop = "now"
            if not kill:
                self._thread.join()

    def _begin(self) -> None:
        if self._channel is None and self._waiting:
            attempt = self._waiting.popleft()
            self._channel = _Channel(attempt, self._events)
            self._thread = threading.Thread(target=perform, args=(self._run, attempt, self._channel), daemon=True)
            self._thread.start()
