"""Tell the tracking store what a journal holds, in order, from a thread of its own."""

from __future__ import annotations

import contextlib
import math
import threading
import time
from typing import TYPE_CHECKING, Protocol

from cvexp.errors import StoreError, UnreachableStoreError
from cvexp.redaction import without_credentials

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from cvexp.tracking.journal import Journal
    from cvexp.tracking.records import Record

PATIENCE_SECONDS = 10.0
"""How long training waits for a tracking store that takes nothing, all in all."""

HURRIED_SECONDS = 2.0
"""How long it waits from when it was told to stop."""

STALL_SECONDS = 2.0
"""A store that took something within so many seconds is making progress."""

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.2, 15.0
_TICK_SECONDS = 0.05


class Patience:
    """A time limit shared by everyone who waits for the store; only waiting without progress counts.

    Args:
        seconds: How long one may wait, all in all.
        hurried: Says whether someone wants to leave; then no more than a few seconds are waited, progress or not.
        stall_seconds: A store that took something within so many seconds is making progress; by default two, or a
            fifth of a limit below ten. With 0 all waiting counts.
    """

    def __init__(
        self,
        seconds: float = PATIENCE_SECONDS,
        *,
        hurried: Callable[[], bool] = lambda: False,
        stall_seconds: float | None = None,
    ) -> None:
        self.left = seconds
        self.stall_seconds = min(STALL_SECONDS, seconds / 5) if stall_seconds is None else stall_seconds
        self._hurried = hurried
        self._paused = threading.Event()
        self._idle = self._uncounted = 0.0

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """While the block lasts, in whatever thread, waiting costs nothing."""
        self._paused.set()
        try:
            yield
        finally:
            self._paused.clear()

    def wait(self, done: Callable[[float], bool], *, idle_seconds: Callable[[], float] = lambda: math.inf) -> bool:
        """Wait until `done`, or until the limit is reached while there is no progress.

        Args:
            done: Called with how many seconds it may take.
            idle_seconds: Seconds since the last progress; by default there never was any.

        Returns:
            What `done` said last.
        """
        while True:
            start = time.monotonic()
            hurried = self._hurried()
            if hurried:
                self.left = min(self.left, HURRIED_SECONDS)
            counts = self._is_counted(idle_seconds()) or hurried
            if done(max(0.0, min(self.left, _TICK_SECONDS)) if counts else _TICK_SECONDS):
                return True
            if not self._paused.is_set():
                self._uncounted += time.monotonic() - start
            if counts:
                self.left -= self._uncounted
                self._uncounted = 0.0
            if counts and self.left <= 0:
                return False

    def _is_counted(self, idle: float) -> bool:
        """Whether waiting counts: from the last progress on, as soon as that is too long ago.

        Args:
            idle: Seconds since the last progress.
        """
        if idle <= self._idle:  # there was progress meanwhile, so what was waited before it does not count
            self._uncounted = 0.0
        self._idle = idle
        return idle > self.stall_seconds


class Recipient(Protocol):
    """Who is told."""

    def open(self, patience: Patience) -> None:
        """Get ready.

        Raises:
            UnreachableStoreError: Nobody answers; it may work later.
            StoreError: It never will.
        """

    def deliver(self, record: Record) -> Mapping[str, str]:
        """Do what the record says, in a way that bears being repeated, and return what to remember."""
        ...


class Sender:
    """Delivers a journal's records.

    Args:
        journal: Its records, and those that are still to come.
        recipient: Gets them in order; called in the sender's thread only.
        patience: Shared with whoever waits.

    Attributes:
        refused: Why the recipient can never be told; then nothing is delivered.
        trouble: What went wrong last, in one line; empty while nothing has.
        failures: How often something did.
        n_delivered: Records that the recipient was told, those told again included.
    """

    def __init__(self, journal: Journal, recipient: Recipient, patience: Patience) -> None:
        self._journal, self._recipient, self._patience = journal, recipient, patience
        self._changed = threading.Condition()
        self._stopped = False
        self.refused: StoreError | None = None
        self.trouble = ""
        self.failures = self.n_delivered = 0
        self._progress_at = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="cvexp-sender", daemon=True)

    def start(self) -> None:
        """Begin with what is there."""
        self._progress_at = time.monotonic()
        self._thread.start()

    def notify(self) -> None:
        """Say that the journal has grown."""
        with self._changed:
            if self._journal.unsent == 1:  # everything before it is delivered, so nobody has waited for it yet
                self._progress_at = time.monotonic()
            self._changed.notify_all()

    def settle(self, *, failures: int | None = None) -> bool:
        """Wait until everything is delivered, or until the time limit is reached while nothing is.

        Args:
            failures: Wait no longer than for so many failed deliveries; by default for any number.

        Returns:
            Whether everything is.

        Raises:
            StoreError: The recipient can never be told.
        """
        most = float("inf") if failures is None else self.failures + failures

        def over() -> bool:
            return self.refused is not None or not self._journal.unsent or self.failures >= most

        def done(seconds: float) -> bool:
            with self._changed:
                return self._changed.wait_for(over, seconds)

        self._patience.wait(done, idle_seconds=lambda: time.monotonic() - self._progress_at)
        if self.refused is not None:
            raise self.refused
        return not self._journal.unsent

    def stop(self) -> None:
        """Deliver nothing more; a delivery under way is not waited for."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        opened = usable = False
        pause = FIRST_PAUSE_SECONDS
        while not self._stopped:
            try:
                self._journal.flush()
                if not opened:
                    self._recipient.open(self._patience)
                    if not usable:  # opening again after a failure is no progress: the next record may fail as well
                        self._progress_at = time.monotonic()
                    opened = usable = True
                elif self._journal.unsent:
                    record = self._journal.records[self._journal.n_sent]
                    self._journal.mark_sent(record, self._recipient.deliver(record))
                    self.n_delivered += 1
                    self._progress_at = time.monotonic()
                    pause = FIRST_PAUSE_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it is, training goes on, and the record stays
                self.trouble = without_credentials(" ".join(str(error).split()))[:200] or type(error).__name__
                if not usable and isinstance(error, StoreError) and not isinstance(error, UnreachableStoreError):
                    self.refused = error
                    self.notify()
                    return
                opened = False  # the store may have lost the run meanwhile, which opening finds out
                with self._changed:
                    self.failures += 1
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._stopped, pause)
                pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
                continue
            with self._changed:
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopped or self._journal.unsent > 0)
