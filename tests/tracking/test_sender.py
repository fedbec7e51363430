"""The sender: order, patience, and what it does when nobody answers."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from cvexp.errors import StoreError, UnreachableStoreError
from cvexp.tracking.journal import Journal
from cvexp.tracking.sender import Patience, Sender


class Recipient:
    """Takes records, or fails as it was told to."""

    def __init__(self, *, opening=(), failing=(), hanging=None):
        self.opening, self.failing, self.hanging = list(opening), list(failing), hanging
        self.got = []

    def open(self, patience):  # noqa: ARG002 - the protocol
        if self.opening:
            raise self.opening.pop(0)

    def deliver(self, record):
        if self.hanging is not None:
            self.hanging.wait(20)
        if self.failing:
            raise self.failing.pop(0)
        self.got.append(record.key)
        return {"last": record.key}


@pytest.fixture
def journal(tmp_path):
    journal = Journal(tmp_path)
    for key in "abc":
        journal.append("tags", key, {}, at=1)
    return journal


def started(journal, recipient, seconds=5.0):
    sender = Sender(journal, recipient, Patience(seconds))
    sender.start()
    return sender


def test_records_arrive_in_order_and_those_that_come_later_too(journal):
    recipient = Recipient()
    sender = started(journal, recipient)
    assert sender.settle()
    journal.append("tags", "d", {}, at=1)
    sender.notify()
    assert sender.settle()
    assert recipient.got == list("abcd")
    assert journal.facts == {"last": "d"}


def test_the_disk_has_a_record_before_anyone_is_told(journal, monkeypatch):
    on_disk = []
    monkeypatch.setattr("cvexp.tracking.journal.os.fsync", lambda _: on_disk.append(len(journal.records)))

    class Careful(Recipient):
        def open(self, patience):  # noqa: ARG002 - the protocol
            self.got.append(on_disk == [3])

        def deliver(self, record):
            self.got.append(record.n < on_disk[-1])
            return {}

    recipient = Careful()
    sender = started(journal, recipient)
    assert sender.settle()
    journal.append("tags", "d", {}, at=1)
    sender.notify()
    assert sender.settle()
    assert recipient.got == [True] * 5


def test_a_record_that_fails_is_tried_again_before_the_next_one(journal):
    recipient = Recipient(opening=[UnreachableStoreError("away")], failing=[OSError("broken pipe")])
    sender = started(journal, recipient)
    assert sender.settle()
    assert recipient.got == list("abc")
    assert sender.failures == 2


def test_waiting_ends_when_patience_does_and_never_takes_long_again(journal):
    hanging = threading.Event()
    sender = started(journal, Recipient(hanging=hanging), seconds=0.3)
    start = time.monotonic()
    assert not sender.settle()
    assert 0.25 < time.monotonic() - start < 1.5
    start = time.monotonic()
    assert not sender.settle()
    assert time.monotonic() - start < 0.25
    hanging.set()


def test_patience_is_not_used_up_while_it_is_paused():
    patience = Patience(0.2)
    calls = []

    def done(seconds):
        calls.append(seconds)
        time.sleep(0.02)
        return len(calls) == 30

    with patience.paused():
        assert patience.wait(done)
    assert patience.left == 0.2


def test_a_store_that_will_never_do_is_refused_at_once(journal):
    sender = started(journal, Recipient(opening=[StoreError("not a store")]))
    with pytest.raises(StoreError, match="not a store"):
        sender.settle()
    assert journal.unsent == 3


def test_some_failures_are_enough_where_one_does_not_want_to_wait(journal):
    sender = started(journal, Recipient(opening=[UnreachableStoreError("away")] * 50), seconds=30)
    start = time.monotonic()
    assert not sender.settle(failures=1)
    assert time.monotonic() - start < 5
    assert "away" in sender.trouble
    sender.stop()


def test_credentials_are_in_no_trouble(journal):
    sender = started(journal, Recipient(opening=[UnreachableStoreError("no http://u:secret@host")] * 9))
    sender.settle(failures=1)
    assert sender.trouble
    assert "secret" not in sender.trouble
    sender.stop()


def test_after_stop_nothing_more_is_delivered(journal):
    recipient = Recipient()
    sender = started(journal, recipient)
    sender.settle()
    sender.stop()
    journal.append("tags", "late", {}, at=1)
    sender.notify()
    time.sleep(0.1)
    assert recipient.got == list("abc")


class Slow(Recipient):
    """Takes a record in so many seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def deliver(self, record):
        time.sleep(self.seconds)
        return super().deliver(record)


def test_a_store_that_is_slow_but_takes_every_record_gets_all_of_them(tmp_path):
    journal = Journal(tmp_path)
    for n in range(40):
        journal.append("tags", str(n), {}, at=1)
    sender = started(journal, Slow(0.05), seconds=1.0)
    assert sender.settle()
    assert sender.n_delivered == 40


@pytest.mark.parametrize(("progress_at", "expected"), [(0.0, 10.0), (4.0, 14.0)])
def test_waiting_counts_from_the_last_progress_on(monkeypatch, progress_at, expected):
    clock = 0.0

    def done(seconds):
        nonlocal clock
        clock += max(seconds, 0.01)  # a real clock never stands still
        return False

    monkeypatch.setattr("cvexp.tracking.sender.time", SimpleNamespace(monotonic=lambda: clock))
    waited = Patience(10.0).wait(done, idle_seconds=lambda: clock - progress_at if clock >= progress_at else 0.0)
    assert not waited
    assert clock == pytest.approx(expected, abs=0.2)


def test_a_store_that_can_be_opened_but_takes_nothing_makes_no_progress(journal):
    sender = started(journal, Recipient(failing=[OSError("disk full")] * 500), seconds=0.5)
    assert not sender.settle()
    sender.stop()
    assert sender.n_delivered == 0


def test_someone_who_wants_to_leave_does_not_wait_for_a_slow_store(tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.tracking.sender.HURRIED_SECONDS", 0.3)
    journal = Journal(tmp_path)
    for n in range(200):
        journal.append("tags", str(n), {}, at=1)
    sender = Sender(journal, Slow(0.05), Patience(60, hurried=lambda: True))
    sender.start()
    assert not sender.settle()
    sender.stop()
    assert 0 < sender.n_delivered < 200
