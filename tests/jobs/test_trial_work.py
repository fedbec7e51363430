"""The trials of a sweep, against an executor that plays back what it is told."""

from __future__ import annotations

import signal
from collections import deque
from fractions import Fraction

import pytest

from cvexp.config import run_config
from cvexp.config.sweep import Pruning
from cvexp.errors import Interrupted
from cvexp.executors.seam import Ended, Epoch, Lost, Started
from cvexp.jobs.driving import MOST_LOST
from cvexp.jobs.trial_work import TrialWork, in_order
from cvexp.jobs.trials import Known, Trial
from cvexp.runs import CONFIRMS, SWEEP, TRIAL_NUMBER
from cvexp.settings import store_settings
from cvexp.sweep.halving import Halving


class Played:
    """An executor whose trials have the losses they are given, epoch by epoch, in turns."""

    def __init__(self, losses, n_slots=2, ends=None):
        self.losses, self.n_slots, self.ends = losses, n_slots, ends or {}
        self.submitted, self.at_once = [], 0
        self._running, self._early = deque(), set()

    def submit(self, attempt):
        self.submitted.append(attempt)
        self._running.append((attempt, iter(enumerate(self.losses[attempt.trial], 1))))
        self.at_once = max(self.at_once, len(self._running))

    def events(self, timeout):  # noqa: ARG002 - what there is comes at once
        if not self._running:
            return
        attempt, epochs = self._running.popleft()
        names = {"trial": attempt.trial, "number": attempt.number}
        special = self.ends.get((attempt.trial, attempt.number))
        if special is not None:
            yield Started(**names, run_id=f"run-{attempt.trial}", run_name="a")
            yield special
            return
        step = next(epochs, None)
        if step is None or attempt.trial in self._early:
            yield Ended(**names, run_id=f"run-{attempt.trial}", status="FINISHED", metrics={"time/total_seconds": 2.0})
            return
        self._running.append((attempt, epochs))
        n_epochs = len(self.losses[attempt.trial])
        yield Epoch(**names, epoch=step[0], n_epochs=n_epochs, values={"val/loss": step[1]})

    def stop(self, trial, *, early=False):
        assert early
        self._early.add(trial)

    def close(self, *, kill=False):
        pass


def trial(number, epochs=4, **more):
    config = run_config({"model": "linear", "dataset": "digits", "epochs": epochs, "val_split": 0.1})
    return Trial(number=number, key=str(number), point={}, config=config, **more)


def drive(executor, trials, tmp_path, *, halving=None, reread=None):
    work = TrialWork(
        executor=executor,
        settings=store_settings(f"sqlite:///{tmp_path}/mlflow.db"),
        data_dir=tmp_path,
        tags={SWEEP: "abc"},
        reread=reread or (lambda: Known(trials={}, repeats={}, resumable=frozenset())),
        resumable=frozenset({"left"}),
        halving=halving,
    )
    work.run(in_order(trials))
    return work


def test_every_slot_is_kept_busy_and_every_trial_trained_once(tmp_path):
    trials = [trial(n) for n in range(5)]
    executor = Played({str(n): [1.0] * 4 for n in range(5)})
    work = drive(executor, trials, tmp_path)
    assert [one.trial for one in executor.submitted] == list("01234")
    assert executor.at_once == 2
    assert [one.state for one in trials] == ["finished"] * 5
    assert (work.trained, trials[0].epochs, trials[0].seconds) == (5, 4, 2.0)


def test_runs_of_trials_are_tagged_and_the_test_split_is_not_evaluated(tmp_path):
    executor = Played({"0": [1.0], "1": [1.0]})
    drive(executor, [trial(0), trial(1, confirms="0")], tmp_path)
    searched, repeated = executor.submitted
    assert searched.tags == {SWEEP: "abc", TRIAL_NUMBER: "0"}
    assert repeated.tags == {SWEEP: "abc", TRIAL_NUMBER: "1", CONFIRMS: "0"}
    assert not searched.outputs.test
    assert not repeated.outputs.test
    assert (searched.outputs.program, repeated.outputs.program) == (False, True)


def test_the_worse_trials_are_stopped_early_and_repeats_never(tmp_path):
    losses = {"0": [0.5] * 4, "1": [0.9] * 4, "2": [0.4] * 4, "3": [0.95] * 4, "4": [0.99] * 4}
    trials = [trial(n) for n in range(4)] + [trial(4, confirms="0")]
    halving = Halving(Pruning(min_epochs=1, keep=Fraction(1, 2)))
    drive(Played(losses), trials, tmp_path, halving=halving)
    assert [(one.state, one.epochs) for one in trials] == [
        ("finished", 4),
        ("pruned", 1),
        ("finished", 4),
        ("pruned", 1),
        ("finished", 4),
    ]


def test_a_run_that_left_a_checkpoint_here_goes_on_and_another_may_be_continued_unless_it_failed(tmp_path):
    trials = [
        trial(0, run_id="left", state="interrupted", attempts=1),
        trial(1, run_id="elsewhere", state="interrupted", attempts=2),
        trial(2, run_id="failed", state="failed", attempts=1),
    ]
    executor = Played({str(n): [1.0] for n in range(3)})
    drive(executor, trials, tmp_path)
    assert [(one.resume, one.continues, one.number) for one in executor.submitted] == [
        ("left", None, 2),
        (None, "elsewhere", 3),
        (None, None, 2),
    ]


def lost(number, reason="its worker was killed by SIGKILL"):
    return Lost(trial="0", number=number, reason=reason)


def test_a_trial_that_lost_its_worker_is_tried_again(tmp_path):
    one = trial(0)
    executor = Played({"0": [1.0]}, ends={("0", 1): lost(1)})
    drive(executor, [one], tmp_path, reread=lambda: Known(trials={}, repeats={}, resumable=frozenset({"run-0"})))
    assert [(a.number, a.resume) for a in executor.submitted] == [(1, None), (2, "run-0")]
    assert (one.state, one.attempts) == ("finished", 2)


def test_a_trial_that_loses_every_worker_has_failed(tmp_path):
    one = trial(0)
    executor = Played({"0": [1.0]}, ends={("0", n): lost(n) for n in range(1, 9)})
    drive(executor, [one], tmp_path)
    assert len(executor.submitted) == MOST_LOST
    assert (one.state, one.reason) == ("failed", "its worker was killed by SIGKILL, 3 times")


def test_a_trial_whose_worker_died_after_its_end_is_not_trained_again(tmp_path):
    one, done = trial(0), trial(0, state="finished", run_id="run-0", metrics={"val/accuracy": 0.5}, epochs=4)
    executor = Played({"0": [1.0]}, ends={("0", 1): lost(1)})
    drive(executor, [one], tmp_path, reread=lambda: Known(trials={"0": done}, repeats={}, resumable=frozenset()))
    assert len(executor.submitted) == 1
    assert (one.state, one.metrics) == ("finished", {"val/accuracy": 0.5})


@pytest.mark.parametrize(("status", "state"), [("FAILED", "failed")])
def test_a_failed_trial_keeps_its_reason_and_the_others_are_trained(tmp_path, status, state):
    trials = [trial(0), trial(1)]
    end = Ended(trial="0", number=1, run_id="run-0", status=status, reason="the loss is nan", exit_code=1)
    drive(Played({"0": [1.0], "1": [1.0]}, ends={("0", 1): end}), trials, tmp_path)
    assert [(one.state, one.reason) for one in trials] == [(state, "the loss is nan"), ("finished", "")]


def test_a_signal_between_two_trials_ends_the_sweep(tmp_path):
    def upcoming():
        signal.raise_signal(signal.SIGTERM)

    work = TrialWork(
        executor=Played({}),
        settings=store_settings(f"sqlite:///{tmp_path}/mlflow.db"),
        data_dir=tmp_path,
        tags={},
        reread=lambda: Known(trials={}, repeats={}, resumable=frozenset()),
    )
    with pytest.raises(Interrupted) as stopped:
        work.run(upcoming)
    assert stopped.value.signum == signal.SIGTERM
