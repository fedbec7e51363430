from __future__ import annotations

import pytest

from cvexp.report.pace import Pace, about


class Clock:
    """A clock that is set by hand."""

    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


class Epoch:
    """What a pace reads of an epoch."""

    def __init__(self, seconds, first_step=0.0):
        self.timing = self
        self.train_seconds, self.evaluate_seconds, self.first_step_seconds = seconds, 0.0, first_step


@pytest.fixture
def clock():
    return Clock()


def test_long_trainings_are_estimated_after_the_first_epoch(clock):
    pace = Pace(["a"] * 5, started=0.0, clock=clock)
    clock.now = 4.0
    pace.run_started()
    clock.now = 12.0
    # 4 s of start-up, then five times three epochs of 7 s; the first step's own second is not repeated.
    assert pace.epoch_ended(Epoch(8.0, first_step=1.0), 3) == 4 + 5 * 3 * 7
    assert pace.epoch_ended(Epoch(8.0), 3) is None


def test_short_trainings_are_estimated_after_the_first_run_without_the_start_up(clock):
    pace = Pace(["a"] * 3, started=0.0, clock=clock)
    clock.now = 4.0
    pace.run_started()
    clock.now = 4.5
    assert pace.epoch_ended(Epoch(0.5), 2) is None
    clock.now = 6.0
    assert pace.run_ended() == 6 + 2 * 2
    clock.now = 8.1
    assert pace.run_ended() is None  # as was said


def test_an_estimate_that_is_plainly_off_is_given_again(clock):
    pace = Pace(["a"] * 4, started=0.0, clock=clock)
    clock.now = 1.0
    assert pace.run_ended() == 4
    clock.now = 6.0
    assert pace.run_ended() == 6 + 2 * 5


def test_runs_of_several_recipes_are_estimated_once_each_was_trained(clock):
    pace = Pace(["a", "b", "b", "a"], started=0.0, clock=clock)
    clock.now = 1.0
    assert pace.epoch_ended(Epoch(100.0), 3) is None
    assert pace.run_ended() is None
    clock.now = 11.0
    assert pace.run_ended() == 11 + 10 + 1


def test_one_run_alone_is_not_estimated(clock):
    pace = Pace(["a"], started=0.0, clock=clock)
    clock.now = 100.0
    assert pace.epoch_ended(Epoch(100.0), 50) is None
    assert pace.run_ended() is None


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "1 s"), (39.6, "40 s"), (59.7, "1 min 0 s"), (100, "1 min 40 s"), (7500, "2 h 5 min")]
)
def test_a_duration_is_said_roughly(seconds, text):
    assert about(seconds) == text
