"""The sender: order, retries, and the deadline when the store does not answer."""

from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import pytest

from cvexp.errors import DeniedStoreError, StoreError, UnreachableStoreError
from cvexp.events import FilesStored, MetricsLogged, ParamsLogged, TagsSet
from cvexp.tracking.deadline import Deadline
from cvexp.tracking.journal import Journal
from cvexp.tracking.sender import Sender, gathered


class Sink:
    """Takes records, or fails as it was told to."""

    def __init__(self, *, opening=(), failing=(), hanging=None):
        self.opening, self.failing, self.hanging = list(opening), list(failing), hanging
        self.got = []

    def open(self, deadline):  # noqa: ARG002 - the protocol
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
        journal.append(TagsSet({}), key=key, at=1)
    return journal


def started(journal, sink, seconds=5.0):
    sender = Sender(journal, sink, Deadline(seconds))
    sender.start()
    return sender


def test_records_arrive_in_order_and_those_that_come_later_too(journal):
    sink = Sink()
    sender = started(journal, sink)
    assert sender.drain()
    journal.append(TagsSet({}), key="d", at=1)
    sender.notify()
    assert sender.drain()
    assert sink.got == list("abcd")
    assert journal.facts == {"last": "d"}


def test_the_disk_has_a_record_before_anyone_is_told(journal, monkeypatch):
    on_disk = []
    monkeypatch.setattr("cvexp.tracking.journal.os.fsync", lambda _: on_disk.append(len(journal.records)))

    class Careful(Sink):
        def open(self, deadline):  # noqa: ARG002 - the protocol
            self.got.append(on_disk == [3])

        def deliver(self, record):
            self.got.append(record.n < on_disk[-1])
            return {}

    sink = Careful()
    sender = started(journal, sink)
    assert sender.drain()
    journal.append(TagsSet({}), key="d", at=1)
    sender.notify()
    assert sender.drain()
    assert sink.got == [True] * 5


def test_a_record_that_fails_is_tried_again_before_the_next_one(journal):
    sink = Sink(opening=[UnreachableStoreError("away")], failing=[OSError("broken pipe")])
    sender = started(journal, sink)
    assert sender.drain()
    assert sink.got == list("abc")
    assert sender.failures == 2


def test_waiting_ends_at_the_deadline_and_never_takes_long_again(journal):
    hanging = threading.Event()
    sender = started(journal, Sink(hanging=hanging), seconds=0.3)
    start = time.monotonic()
    assert not sender.drain()
    assert 0.25 < time.monotonic() - start < 1.5
    start = time.monotonic()
    assert not sender.drain()
    assert time.monotonic() - start < 0.25
    hanging.set()


def test_paused_waiting_does_not_count():
    deadline = Deadline(0.2)
    calls = []

    def done(seconds):
        calls.append(seconds)
        time.sleep(0.02)
        return len(calls) == 30

    with deadline.paused():
        assert deadline.wait(done)
    assert deadline.left == 0.2


def test_a_store_that_will_never_do_is_refused_at_once(journal):
    sender = started(journal, Sink(opening=[StoreError("not a store")]))
    with pytest.raises(StoreError, match="not a store"):
        sender.drain()
    assert journal.unsent == 3


def test_some_failures_are_enough_where_one_does_not_want_to_wait(journal):
    sender = started(journal, Sink(opening=[UnreachableStoreError("away")] * 50), seconds=30)
    start = time.monotonic()
    assert not sender.drain(max_failures=1)
    assert time.monotonic() - start < 5
    assert "away" in sender.trouble
    sender.stop()


def test_credentials_are_in_no_trouble(journal):
    sender = started(journal, Sink(opening=[UnreachableStoreError("no http://u:secret@host")] * 9))
    sender.drain(max_failures=1)
    assert sender.trouble
    assert "secret" not in sender.trouble
    sender.stop()


def test_after_stop_nothing_more_is_delivered(journal):
    sink = Sink()
    sender = started(journal, sink)
    sender.drain()
    sender.stop()
    journal.append(TagsSet({}), key="late", at=1)
    sender.notify()
    time.sleep(0.1)
    assert sink.got == list("abc")


class Slow(Sink):
    """Takes a record in so many seconds."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def deliver(self, record):
        time.sleep(self.seconds)
        return super().deliver(record)


@pytest.mark.slow
def test_a_store_that_is_slow_but_takes_every_record_gets_all_of_them(tmp_path):
    journal = Journal(tmp_path)
    for n in range(40):
        journal.append(TagsSet({}), key=str(n), at=1)
    sender = started(journal, Slow(0.05), seconds=1.0)
    assert sender.drain()
    assert sender.n_delivered == 40


@pytest.mark.parametrize(("progress_at", "expected"), [(0.0, 10.0), (4.0, 14.0)])
def test_waiting_counts_from_the_last_progress_on(monkeypatch, progress_at, expected):
    clock = 0.0

    def done(seconds):
        nonlocal clock
        clock += max(seconds, 0.01)  # a real clock never stands still
        return False

    monkeypatch.setattr("cvexp.tracking.deadline.time", SimpleNamespace(monotonic=lambda: clock))
    waited = Deadline(10.0).wait(done, idle_seconds=lambda: clock - progress_at if clock >= progress_at else 0.0)
    assert not waited
    assert clock == pytest.approx(expected, abs=0.2)


def test_a_store_that_can_be_opened_but_takes_nothing_makes_no_progress(journal):
    sender = started(journal, Sink(failing=[OSError("disk full")] * 500), seconds=0.5)
    assert not sender.drain()
    sender.stop()
    assert sender.n_delivered == 0


def test_a_process_that_should_stop_does_not_wait_for_a_slow_store(tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.tracking.deadline.STOP_SECONDS", 0.3)
    journal = Journal(tmp_path)
    for n in range(200):
        journal.append(TagsSet({}), key=str(n), at=1)
    sender = Sender(journal, Slow(0.05), Deadline(60, should_stop=lambda: True))
    sender.start()
    assert not sender.drain()
    sender.stop()
    assert 0 < sender.n_delivered < 200


class Together(Sink):
    """Takes several records in one call as well."""

    def deliver_together(self, records):
        if self.failing:
            raise self.failing.pop(0)
        self.got.append("".join(record.key for record in records))


def test_records_that_linger_go_out_in_one_call_when_somebody_waits_for_them(journal):
    sink = Together(failing=[OSError("broken pipe")])
    sender = Sender(journal, sink, Deadline(5.0), linger=60.0)
    sender.start()
    assert sender.drain()
    journal.append(TagsSet({}), key="d", at=1)
    journal.append(FilesStored(folder="weights"), key="e", at=1)
    journal.append(TagsSet({}), key="f", at=1)
    sender.notify()
    assert sender.drain()
    assert sink.got == ["abc", "d", "e", "f"]
    assert (journal.unsent, sender.n_delivered, sender.failures) == (0, 6, 1)


def test_records_that_linger_go_out_by_themselves_after_a_while(journal):
    sink = Together()
    sender = Sender(journal, sink, Deadline(5.0), linger=0.01)
    sender.start()
    deadline = time.monotonic() + 5
    while journal.unsent and time.monotonic() < deadline:
        time.sleep(0.005)
    assert sink.got == ["abc"]


def test_a_call_takes_no_more_than_a_store_does(tmp_path):
    journal = Journal(tmp_path)
    for n in range(3):
        values = {f"{n}-{k}": 1.0 for k in range(200)}
        journal.append(MetricsLogged(values=values, step=n), key=str(n), at=1)
    journal.append(ParamsLogged(dict.fromkeys(map(str, range(101)), "")), key="p", at=1)
    assert [record.key for record in gathered(journal.records)] == ["0", "1"]
    assert gathered(journal.records[3:]) == []


def test_a_refusal_of_the_first_record_is_final(journal):
    sink = Sink(failing=[DeniedStoreError("not you")])
    sender = started(journal, sink)
    with pytest.raises(DeniedStoreError):
        sender.drain()
    assert (sink.got, sender.failures) == ([], 0)


def test_a_permission_that_is_taken_back_later_may_be_given_again(journal):
    sink = Sink()
    sender = started(journal, sink)
    assert sender.drain()
    sink.failing = [DeniedStoreError("no longer")]
    journal.append(TagsSet({}), key="d", at=1)
    sender.notify()
    assert sender.drain()
    assert (sink.got, sender.trouble) == (list("abcd"), "no longer")
