"""The executor in this process runs what it is given, in order, and stops it when asked."""

import time

import pytest

from cvexp.errors import ConfigError, TrainingError
from cvexp.executors.inline import Inline
from cvexp.executors.registry import open_executor
from cvexp.executors.seam import Attempt, Channel, Ended, Event, Started

WITHIN = 10.0


def attempt(trial: str) -> Attempt:
    return Attempt(trial=trial, config={}, store={}, data_dir=".")


def finish(one: Attempt, channel: Channel) -> Ended:
    channel.emit(Started(trial=one.trial, number=1, run_id="", run_name=""))
    return Ended(trial=one.trial, number=1, status="FINISHED")


def wait(one: Attempt, channel: Channel) -> Ended:
    channel.emit(Started(trial=one.trial, number=1, run_id="", run_name=""))
    while (stop := channel.asked()) is None:
        time.sleep(0.001)
    return Ended(trial=one.trial, number=1, status="KILLED" if stop == "now" else "FINISHED", reason=stop)


def fail(one: Attempt, channel: Channel) -> Ended:
    raise TrainingError("the loss is nan", "lower --lr") if one.trial == "a" else KeyError("b")


def test_attempts_run_in_order() -> None:
    executor = Inline(finish)
    for trial in "ab":
        executor.submit(attempt(trial))
    assert [(type(event), event.trial) for event in executor.events(WITHIN)] == [
        (Started, "a"),
        (Ended, "a"),
        (Started, "b"),
        (Ended, "b"),
    ]


@pytest.mark.parametrize(("early", "status"), [(True, "FINISHED"), (False, "KILLED")])
def test_a_stop_reaches_the_attempt_that_runs(*, early: bool, status: str) -> None:
    executor = Inline(wait)
    executor.submit(attempt("a"))
    found: list[Event] = []
    for event in executor.events(WITHIN):
        found.append(event)
        if isinstance(event, Started):
            executor.stop("a", early=early)
    assert isinstance(found[-1], Ended)
    assert (found[-1].status, found[-1].reason) == (status, "early" if early else "now")


def test_what_is_stopped_in_the_queue_never_begins() -> None:
    executor = Inline(wait)
    for trial in "ab":
        executor.submit(attempt(trial))
    executor.stop("b")
    executor.stop("a")
    ended = {event.trial: event for event in executor.events(WITHIN) if isinstance(event, Ended)}
    assert (ended["b"].reason, ended["a"].reason) == ("stopped before it began", "now")


def test_an_error_ends_its_attempt_only(capsys: pytest.CaptureFixture[str]) -> None:
    executor = Inline(fail)
    for trial in "ab":
        executor.submit(attempt(trial))
    ended = [event for event in executor.events(WITHIN) if isinstance(event, Ended)]
    assert [(one.status, one.reason, one.hints) for one in ended] == [
        ("FAILED", "the loss is nan", ("lower --lr",)),
        ("FAILED", "KeyError: 'b'", ()),
    ]
    assert capsys.readouterr().err.count("Traceback") == 1


def test_events_end_when_there_is_nothing_to_wait_for() -> None:
    started = time.monotonic()
    assert list(Inline(finish).events(60)) == []
    assert time.monotonic() - started < WITHIN


def test_an_unknown_executor_is_refused() -> None:
    with pytest.raises(ConfigError, match="unknown executor: 'lokal'"):
        open_executor("lokal")


def test_an_executor_is_opened_by_its_name() -> None:
    assert isinstance(open_executor("inline", run=f"{__name__}:finish"), Inline)
