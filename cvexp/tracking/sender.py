"""The sending half of the outbox: delivers a journal's records in order, from a thread of its own, with retries."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Protocol, TypeGuard

from cvexp.errors import DeniedStoreError, StoreError, UnreachableStoreError
from cvexp.events import MetricsLogged, ParamsLogged, TagsSet
from cvexp.redaction import without_credentials

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.tracking.deadline import Deadline
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.records import Record

FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS = 0.2, 15.0
"""The pause after a failed delivery; it doubles with each further failure (exponential backoff)."""

MOST_NAMED, MOST_FIGURES = 100, 500
"""Parameters, tags and figures in one call; MLflow takes up to 100, 100 and 1,000, and 1,000 in all."""

NO_ANSWER = "the tracking store does not answer in time"


class Sink(Protocol):
    """Where records are delivered to."""

    def open(self, deadline: Deadline) -> None:
        """Connect, again after each failure; raises StoreError, which no retry helps, or UnreachableStoreError."""

    def deliver(self, record: Record) -> Mapping[str, str]:
        """Apply the record; idempotent. Returns facts to remember, such as the run's id."""
        ...

    def deliver_together(self, records: Sequence[Record]) -> None:
        """Apply records that `gathered` gave, in one call; idempotent."""
        ...


def _is_final(error: Exception, *, connected: bool, delivered: bool) -> TypeGuard[StoreError]:
    """Whether no delivery can ever succeed.

    That is an error before the store was ever open, or a refusal of the first record: who may open a store may yet
    not be permitted to write. A permission that is taken back later may be given again, so that its records wait.
    """
    if isinstance(error, DeniedStoreError):
        return not delivered
    return not connected and isinstance(error, StoreError) and not isinstance(error, UnreachableStoreError)


class Sender:
    """Delivers a journal's records, and those still to come, to the sink, in order and in the sender's thread only.

    With `linger` seconds, records gather for so long, unless somebody waits for them, and go out several in one call.

    Attributes:
        refused: Why no delivery can ever succeed; then nothing is delivered.
        trouble: The last failure in one line; empty where there was none.
        failures: How many deliveries failed.
        n_delivered: Records that were delivered, repeated ones included.
    """

    def __init__(self, journal: Journal, sink: Sink, deadline: Deadline, *, linger: float = 0.0) -> None:
        self._journal, self._sink, self._deadline, self._linger = journal, sink, deadline, linger
        self._n_waiting = 0
        self._changed = threading.Condition()
        self._stopped = False
        self.refused: StoreError | None = None
        self.trouble = ""
        self.failures = self.n_delivered = 0
        self._progress_at = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="cvexp-sender", daemon=True)

    def start(self) -> None:
        """Start delivering: the wait for the store begins now."""
        self._progress_at = time.monotonic()
        self._thread.start()

    def notify(self) -> None:
        """Wake the thread: the journal has grown."""
        with self._changed:
            if self._journal.unsent == 1:  # all others are delivered, so nobody has waited for this one yet
                self._progress_at = time.monotonic()
            self._changed.notify_all()

    def drain(self, *, max_failures: int | None = None) -> bool:
        """Wait until everything is delivered, until the deadline, or until so many more deliveries have failed.

        Returns whether everything is delivered; raises StoreError where no delivery can ever succeed.
        """
        most = float("inf") if max_failures is None else self.failures + max_failures

        def over() -> bool:
            return self.refused is not None or not self._journal.unsent or self.failures >= most

        def done(seconds: float) -> bool:
            with self._changed:
                return self._changed.wait_for(over, seconds)

        with self._changed:
            self._n_waiting += 1
            if self._linger:  # what has gathered was not waited for until now
                self._progress_at = time.monotonic()
            self._changed.notify_all()
        try:
            self._deadline.wait(done, idle_seconds=lambda: time.monotonic() - self._progress_at)
        finally:
            with self._changed:
                self._n_waiting -= 1
        if self.refused is not None:
            raise self.refused
        return not self._journal.unsent

    def stop(self) -> None:
        """Deliver nothing more; a delivery in progress is not waited for."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _work(self) -> None:
        opened = usable = False
        backoff = FIRST_BACKOFF_SECONDS
        while not self._stopped:
            try:
                self._journal.flush()
                if not opened:
                    self._sink.open(self._deadline)
                    if not usable:  # opening again after a failure is no progress: the next delivery may fail as well
                        self._progress_at = time.monotonic()
                    opened = usable = True
                elif self._journal.unsent:
                    self.n_delivered += self._deliver()
                    self._progress_at = time.monotonic()
                    backoff = FIRST_BACKOFF_SECONDS
            except Exception as error:  # noqa: BLE001 - whatever it is, training goes on, and the record is retried
                self.trouble = without_credentials(" ".join(str(error).split()))[:200] or type(error).__name__
                if _is_final(error, connected=usable, delivered=self.n_delivered > 0):
                    self.refused = error
                    self.notify()
                    return
                opened = False  # the store may have lost the run meanwhile, which opening finds out
                with self._changed:
                    self.failures += 1
                    self._changed.notify_all()
                    self._changed.wait_for(lambda: self._stopped, backoff)
                backoff = min(2 * backoff, LONGEST_BACKOFF_SECONDS)
                continue
            with self._changed:
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._stopped or self._journal.unsent > 0)
                if self._linger:
                    self._changed.wait_for(lambda: self._stopped or self._n_waiting > 0, self._linger)

    def _deliver(self) -> int:
        """Deliver the next record, or with `linger` the next ones that fit one call; how many they are."""
        journal = self._journal
        together = gathered(journal.records[journal.n_sent :]) if self._linger else []
        if len(together) > 1:
            self._sink.deliver_together(together)
            journal.mark_sent(together[-1], {})
            return len(together)
        record = journal.records[journal.n_sent]
        journal.mark_sent(record, self._sink.deliver(record))
        return 1


def gathered(records: Sequence[Record]) -> list[Record]:
    """The first of these that fit one call: parameters, tags and figures, as many of each as a store takes at once."""
    kinds = (ParamsLogged, TagsSet, MetricsLogged)
    counts: Counter[type] = Counter()
    found: list[Record] = []
    for record in records:
        event = record.event
        if not isinstance(event, kinds):
            break
        counts[type(event)] += len(event.values)
        if max(counts[ParamsLogged], counts[TagsSet]) > MOST_NAMED or counts[MetricsLogged] > MOST_FIGURES:
            break
        found.append(record)
    return found
