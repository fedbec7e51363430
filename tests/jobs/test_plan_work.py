"""A plan through an executor: what is lost is tried again, what fails is named, a stop reaches everything."""

from __future__ import annotations

import os
import signal
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from cvexp.config import run_config
from cvexp.config.experiment import PlannedRun
from cvexp.errors import InputError, Interrupted, TrainingError
from cvexp.executors.seam import Attempt, Ended, Event, Lost, Started
from cvexp.jobs.plan import Step
from cvexp.jobs.plan_work import PlanWork, trial_keys
from cvexp.runs import TRIAL, RunSummary
from cvexp.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Act = Callable[[Attempt], list[Event]]


def step(seed: int = 0, **settings: object) -> Step:
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "seed": seed, **settings})
    return Step(planned=PlannedRun(config=config, name=f"n{seed}"), recipe="recipe", done=None)


def started(one: Attempt) -> Started:
    return Started(trial=one.trial, number=one.number, run_id=f"run-{one.trial}", run_name="n")


def finished(one: Attempt) -> Ended:
    return Ended(trial=one.trial, number=one.number, status="FINISHED", run_id=f"run-{one.trial}")


def failed(one: Attempt, *, exit_code: int = 1) -> Ended:
    return replace(finished(one), status="FAILED", reason="the loss is nan", hints=("lower --lr",), exit_code=exit_code)


class Scripted:
    """An executor whose attempts do what `act` says; what it does not end, a stop does."""

    n_slots = 2

    def __init__(self, act: Act) -> None:
        self._act, self.attempts = act, list[Attempt]()
        self._events, self.stopped = deque[Event](), list[str]()

    def submit(self, attempt: Attempt) -> None:
        self.attempts.append(attempt)
        self._events += self._act(attempt)

    def events(self, timeout: float) -> Iterator[Event]:
        assert timeout > 0
        while self._events:
            yield self._events.popleft()

    def stop(self, trial: str, *, early: bool = False) -> None:
        assert not early
        self.stopped.append(trial)
        last = next(one for one in reversed(self.attempts) if one.trial == trial)
        self._events.append(replace(finished(last), status="KILLED", reason="kept as of epoch 2"))

    def close(self, *, kill: bool = False) -> None:
        del kill


def work_of(act: Act, tmp_path: Path) -> tuple[PlanWork, Scripted]:
    executor = Scripted(act)
    settings = store_settings(f"sqlite:///{tmp_path}/mlflow.db", "Default")
    return PlanWork(executor=executor, settings=settings, data_dir=tmp_path, command=("cvexp", "run")), executor


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store knows nothing of what was lost."""
    monkeypatch.setattr("cvexp.jobs.plan_work.steps_of", lambda planned, *_, **__: tuple(map(_found, planned)))


def _found(planned: PlannedRun) -> Step:
    return Step(planned=planned, recipe="recipe", done=None)


def test_every_step_is_submitted_once_and_answers_in_order(tmp_path: Path) -> None:
    one, executor = work_of(lambda attempt: [started(attempt), finished(attempt)], tmp_path)
    ends = one.run([step(0), step(1), step(0)])
    assert [end.run_id for end in ends] == ["run-recipe-0", "run-recipe-1", "run-recipe-0-2"]
    assert [(attempt.number, attempt.name, attempt.resume) for attempt in executor.attempts] == [
        (1, "n0", None),
        (1, "n1", None),
        (1, "n0", None),
    ]
    assert executor.attempts[0].config["model"] == "linear"


@pytest.mark.usefixtures("unknown")
def test_a_lost_attempt_is_followed_by_the_next_one_up_to_three(tmp_path: Path) -> None:
    def lose_one(attempt: Attempt) -> list[Event]:
        is_lost = attempt.trial.endswith("-1") or (attempt.trial.endswith("-2") and attempt.number < 3)
        lost = Lost(trial=attempt.trial, number=attempt.number, reason="its worker was killed by SIGKILL")
        return [started(attempt), lost if is_lost else finished(attempt)]

    one, executor = work_of(lose_one, tmp_path)
    with pytest.raises(TrainingError) as refused:
        one.run([step(0), step(1), step(2)])
    assert refused.value.what == "n1 seed 1: its worker was killed by SIGKILL, 3 times"
    assert refused.value.hints[-1] == "2 of 3 runs are trained; then give the same command again to go on"
    assert sorted((attempt.trial[-1], attempt.number) for attempt in executor.attempts) == [
        ("0", 1),
        *(("1", n) for n in (1, 2, 3)),
        *(("2", n) for n in (1, 2, 3)),
    ]


@pytest.mark.usefixtures("unknown")
def test_an_attempt_after_a_lost_one_or_an_earlier_drivers_may_continue_its_run(tmp_path: Path) -> None:
    def lose_first(attempt: Attempt) -> list[Event]:
        lost = Lost(trial=attempt.trial, number=attempt.number, reason="node 2 is lost")
        if attempt.number == 1:  # one is lost before its run was open
            return [lost] if attempt.trial.endswith("-1") else [started(attempt), lost]
        return [started(attempt), finished(attempt)]

    one, executor = work_of(lose_first, tmp_path)
    one.left = {"recipe-1": "left"}
    one.run([step(0), step(1)])
    assert sorted(
        (attempt.trial, attempt.number, attempt.continues) for attempt in executor.attempts if not attempt.resume
    ) == [("recipe-0", 1, None), ("recipe-0", 2, "run-recipe-0"), ("recipe-1", 1, "left"), ("recipe-1", 2, "left")]


@pytest.mark.parametrize(("run_id", "n_attempts"), [("run-recipe-0", 1), ("older", 2)])
def test_a_run_that_ended_before_its_worker_could_say_so_counts_and_an_older_one_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_id: str, n_attempts: int
) -> None:
    def lose_first(attempt: Attempt) -> list[Event]:
        lost = Lost(trial=attempt.trial, number=1, reason="its worker was killed by SIGKILL")
        return [started(attempt), lost if attempt.number == 1 else finished(attempt)]

    done = RunSummary(
        run_id=run_id,
        name="n",
        status="FINISHED",
        experiment_id="0",
        artifacts_uri="",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        tags={TRIAL: "recipe-0"},
    )
    found = replace(step(0), done=done)
    monkeypatch.setattr("cvexp.jobs.plan_work.steps_of", lambda *_, **__: (found,))
    one, executor = work_of(lose_first, tmp_path)
    (end,) = one.run([step(0)])
    assert end.run_id == "run-recipe-0"
    assert [attempt.number for attempt in executor.attempts] == list(range(1, n_attempts + 1))


@pytest.mark.parametrize(("exit_code", "kind"), [(1, TrainingError), (2, InputError)])
def test_a_failed_run_does_not_keep_the_others_from_being_trained(
    tmp_path: Path, exit_code: int, kind: type[Exception]
) -> None:
    def fail_two(attempt: Attempt) -> list[Event]:
        return [finished(attempt) if attempt.trial.endswith("-2") else failed(attempt, exit_code=exit_code)]

    one, executor = work_of(fail_two, tmp_path)
    with pytest.raises(kind) as refused:
        one.run([step(0), step(1), step(2)])
    assert len(executor.attempts) == 3
    assert isinstance(refused.value, TrainingError | InputError)
    assert refused.value.lines() == [
        "n0 seed 0: the loss is nan and 1 more failed",
        "lower --lr",
        "1 of 3 runs are trained; then give the same command again to go on",
    ]


def test_a_signal_stops_everything_and_says_what_is_kept(tmp_path: Path) -> None:
    def interrupt(attempt: Attempt) -> list[Event]:
        return [started(attempt), *([finished(attempt)] if attempt.trial.endswith("-0") else [])]

    one, executor = work_of(interrupt, tmp_path)
    one.on_event = lambda _, event: os.kill(os.getpid(), signal.SIGTERM) if isinstance(event, Ended) else None
    one.on_event = _once(one.on_event)
    with pytest.raises(Interrupted) as stop:
        one.run([step(0), step(1), step(2)])
    assert stop.value.signum == signal.SIGTERM
    assert executor.stopped == ["recipe-1", "recipe-2"]
    assert stop.value.hints[0] == "1 of 3 runs are trained; 2 under way kept their checkpoints"


def _once(call: Callable[[Step, Event], object]) -> Callable[[Step, Event], object]:
    calls = iter([call])
    return lambda step, event: next(calls, lambda *_: None)(step, event) if isinstance(event, Ended) else None


def test_the_same_training_twice_has_two_keys() -> None:
    assert trial_keys([step(1), step(1), step(2)]) == ["recipe-1", "recipe-1-2", "recipe-2"]
