"""The driver against an executor that is played: how much is under way, what is given up, and how it leaves."""

from __future__ import annotations

import signal
from collections import deque
from typing import TYPE_CHECKING

import pytest

from cvexp.errors import Interrupted
from cvexp.executors.seam import Attempt, Ended, Event, Lost, Started
from cvexp.jobs import driving

if TYPE_CHECKING:
    from collections.abc import Iterator


def attempt(trial: str, number: int = 1) -> Attempt:
    return Attempt(trial=trial, number=number, config={}, store={}, data_dir="")


class Slots:
    """An executor that says what the test has it say, and keeps what it is asked."""

    n_slots = 2

    def __init__(self) -> None:
        self.submitted, self.stopped = list[Attempt](), list[str]()
        self.says = deque[Event]()

    def submit(self, one: Attempt) -> None:
        self.submitted.append(one)

    def events(self, timeout: float) -> Iterator[Event]:
        assert timeout > 0
        if self.says:
            yield self.says.popleft()
        else:  # nothing more will come of itself
            one = self.submitted[-1]
            yield Ended(trial=one.trial, number=one.number, status="FINISHED")

    def stop(self, trial: str, *, early: bool = False) -> None:
        assert not early
        self.stopped.append(trial)

    def close(self, *, kill: bool = False) -> None:
        del kill


class Listed:
    """Gives attempts at these trials, and keeps what it is told."""

    def __init__(self, *trials: str) -> None:
        self._left, self.told, self.ends = iter(trials), list[Event](), list[Ended]()
        self.signal: int | None = None

    def next(self) -> Attempt | None:
        trial = next(self._left, None)
        return None if trial is None else attempt(trial)

    def happened(self, event: Event) -> None:
        self.told.append(event)
        if self.signal is not None:
            signum, self.signal = self.signal, None
            signal.raise_signal(signum)

    def lost(self, one: Attempt, reason: str) -> Attempt | None:
        del reason
        return attempt(one.trial, one.number + 1)

    def ended(self, end: Ended) -> None:
        self.ends.append(end)


def test_no_more_is_under_way_than_was_asked_for() -> None:
    slots, work = Slots(), Listed("a", "b", "c")
    driving.drive(slots, work, at_once=1)
    assert [end.trial for end in work.ends] == ["a", "b", "c"]
    slots = Slots()
    slots.says.append(Ended(trial="a", number=1, status="FAILED"))
    driving.drive(slots, Listed("a"), at_once=None)
    assert [one.trial for one in slots.submitted] == ["a"]


def test_what_an_attempt_says_after_it_was_given_up_is_not_heard() -> None:
    slots, work = Slots(), Listed("a")
    slots.says += [
        Lost(trial="a", number=1, reason="gone"),
        Started(trial="a", number=1, run_id="late", run_name="late"),
        Ended(trial="a", number=1, status="FINISHED", run_id="late"),
        Ended(trial="a", number=2, status="FINISHED", run_id="second"),
    ]
    driving.drive(slots, work, at_once=1)
    assert [end.run_id for end in work.ends] == ["second"]
    assert [type(event) for event in work.told] == [Lost, Ended]


def test_a_trial_has_failed_once_it_has_lost_its_third_worker() -> None:
    slots, work = Slots(), Listed("a")
    slots.says += [Lost(trial="a", number=number, reason="gone") for number in (1, 2, 3)]
    driving.drive(slots, work, at_once=1)
    assert [(end.status, end.reason) for end in work.ends] == [("FAILED", "gone, 3 times")]


def test_what_does_not_stop_in_time_is_stopped_hard_and_a_lost_worker_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(driving, "STOP_SECONDS", -1.0)
    slots, work = Slots(), Listed("a", "b")
    work.signal = signal.SIGTERM
    slots.says += [
        Started(trial="a", number=1, run_id="r", run_name="n"),
        Ended(trial="b", number=1, status="KILLED", reason="kept as of epoch 2"),
        Lost(trial="a", number=1, reason="its worker was killed by SIGKILL"),
    ]
    with pytest.raises(Interrupted) as stop:
        driving.drive(slots, work, at_once=2)
    assert stop.value.signum == signal.SIGTERM
    assert slots.stopped == ["a", "b", "a"]
    assert [(end.trial, end.status) for end in work.ends] == [("b", "KILLED"), ("a", "KILLED")]
    assert len(slots.submitted) == 2
