"""Drives attempts through an executor: keeps it busy, follows what comes back, tries what is lost again, and stops."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cvexp.errors import Interrupted
from cvexp.executors.seam import Ended, Epoch, Started
from cvexp.training.signals import StopSignals

if TYPE_CHECKING:
    from cvexp.executors.seam import Attempt, Event, Executor

MOST_LOST = 3
"""Workers that one trial may lose in one start; then it has failed."""

POLL_SECONDS = 0.2
STOP_SECONDS = 8.0
"""How long workers may take to keep a checkpoint and end; then they are killed, and the checkpoint before stays."""


class Work(Protocol):
    """What is to be trained, and what hears how it goes. One thread calls it."""

    def next(self) -> Attempt | None:
        """The next trial's attempt; None where there is none now. It is asked again after an attempt has ended."""
        ...

    def happened(self, event: Event) -> None:
        """An attempt under way says something. Of its end, `lost` or `ended` is told next."""
        ...

    def lost(self, attempt: Attempt, reason: str) -> Attempt | None:
        """The attempt's worker is gone: the next attempt at the trial; None where it had ended before."""
        ...

    def ended(self, end: Ended) -> None:
        """A trial has ended. `run_id` is empty where its worker is gone, which the last attempt had told of."""
        ...


@dataclass(slots=True)
class _Driver:
    executor: Executor
    work: Work
    at_once: int | None
    _under_way: dict[str, Attempt] = field(default_factory=dict)
    _losses: Counter[str] = field(default_factory=Counter)
    _is_leaving: bool = False

    def run(self) -> None:
        with StopSignals() as signals, signals.deferred():
            self._fill(signals)
            while self._under_way and not signals.should_stop():
                for event in self.executor.events(POLL_SECONDS):
                    self._take(event)
                    if signals.should_stop():
                        break
                    self._fill(signals)
            if signals.signum is not None:
                self._leave()
                raise Interrupted(signals.signum)

    def _fill(self, signals: StopSignals) -> None:
        while (self.at_once is None or len(self._under_way) < self.at_once) and not signals.should_stop():
            attempt = self.work.next()
            if attempt is None:
                return
            self._submit(attempt)

    def _submit(self, attempt: Attempt) -> None:
        self._under_way[attempt.trial] = attempt
        self.executor.submit(attempt)

    def _take(self, event: Event) -> None:
        attempt = self._under_way.get(event.trial)
        if attempt is None or event.number != attempt.number:  # of an attempt that was given up
            return
        self.work.happened(event)
        if isinstance(event, Started | Epoch):
            return
        del self._under_way[event.trial]
        if isinstance(event, Ended) and (event.status != "KILLED" or self._is_leaving):
            self.work.ended(event)
        elif self._is_leaving:
            end = Ended(trial=event.trial, number=event.number, status="KILLED", reason=event.reason)
            self.work.ended(end)
        else:
            self._try_again(attempt, event.reason)

    def _try_again(self, attempt: Attempt, reason: str) -> None:
        self._losses[attempt.trial] += 1
        if (times := self._losses[attempt.trial]) == MOST_LOST:
            end = Ended(trial=attempt.trial, number=attempt.number, status="FAILED", reason=f"{reason}, {times} times")
            self.work.ended(end)
        elif (following := self.work.lost(attempt, reason)) is not None:
            self._submit(following)

    def _leave(self) -> None:
        """Stop what is under way, and wait until it has kept its checkpoints."""
        self._is_leaving = True
        self._stop()
        deadline, is_hard = time.monotonic() + STOP_SECONDS, False
        while self._under_way:
            for event in self.executor.events(POLL_SECONDS):
                self._take(event)
            if not is_hard and time.monotonic() > deadline:
                is_hard = True
                self._stop()

    def _stop(self) -> None:
        for trial in [*self._under_way]:
            self.executor.stop(trial)


def drive(executor: Executor, work: Work, *, at_once: int | None) -> None:
    """Train what `work` gives until it gives None and all have ended.

    At most `at_once` attempts are with the executor; with None all are, and it queues those that have no slot yet.

    Raises:
        Interrupted: A signal asked for a stop; what was under way was stopped with a checkpoint first.
    """
    _Driver(executor, work, at_once).run()
