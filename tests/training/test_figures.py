"""Figures that follow from a history, on histories made up here."""

from __future__ import annotations

import numpy as np
import pytest

from cvexp.config import RunConfig
from cvexp.machine import MachineState
from cvexp.results import EpochMetrics, EpochTiming, Evaluation, SplitMetrics
from cvexp.training.figures import ContentionNotice, busy_text, history_figures, stopped_text, time_is_up

SEEN = "waited 30% of the training time for a core, 1.5 CPU seconds a second on 2 threads"
QUIET = MachineState(load=0.1, pressure=0.0)


def epoch(number, *, train=4.0, evaluate=1.0, accuracy=0.5, cpu=4.0, waited=0.0):
    evaluation = Evaluation(
        metrics=SplitMetrics(loss=1.0, accuracy=accuracy, n_images=4),
        per_class=(),
        confusion=np.zeros((2, 2), np.int64),
        predictions=np.zeros(4, np.int64),
    )
    timing = EpochTiming(
        train_seconds=train, evaluate_seconds=evaluate, first_step_seconds=0.1, cpu_seconds=cpu, waited_seconds=waited
    )
    return EpochMetrics(
        epoch=number,
        train=SplitMetrics(loss=1.0, accuracy=0.5, n_images=8),
        step_losses=np.zeros(2, np.float32),
        held_out=evaluation,
        held_out_name="val",
        timing=timing,
    )


def test_the_median_epoch_is_of_those_after_the_first():
    history = [epoch(1, train=90.0), *(epoch(n, train=train) for n, train in enumerate((3.0, 8.0, 5.0), 2))]
    assert history_figures(history, target_accuracy=None)["time/epoch_seconds_median"] == 6.0
    assert "time/epoch_seconds_median" not in history_figures(history[:1], target_accuracy=None)


@pytest.mark.parametrize(("target", "seconds"), [(0.5, 4.0), (0.6, 8.0), (0.7, 8.0), (0.8, None)])
def test_the_time_to_an_accuracy_is_that_of_training_steps_until_an_epoch_reached_it(target, seconds):
    history = [epoch(1, accuracy=0.5), epoch(2, accuracy=0.7), epoch(3, accuracy=0.6)]
    assert history_figures(history, target_accuracy=target).get("time/to_accuracy") == seconds


def test_without_a_target_there_is_no_time_to_it():
    assert "time/to_accuracy" not in history_figures([epoch(1)], target_accuracy=None)


@pytest.mark.parametrize(
    ("waited", "share"), [((0.0, 0.0), 0.0), ((1.0, 3.0), 0.5), ((4.0, 8.0), 1.0), ((None, 2.0), 0.5)]
)
def test_the_waited_share_is_over_the_epochs_that_know_it(waited, share):
    history = [epoch(n, waited=seconds) for n, seconds in enumerate(waited, 1)]
    assert history_figures(history, target_accuracy=None)["time/waited_share"] == share


def test_epochs_of_an_early_version_have_no_waited_share():
    history = [epoch(1, cpu=None, waited=None)]
    assert "time/waited_share" not in history_figures(history, target_accuracy=None)
    assert busy_text(history, n_threads=1, machine=QUIET) == ""


def test_a_run_that_waited_less_than_a_twentieth_is_quiet():
    assert busy_text([epoch(1, waited=0.2)], n_threads=2, machine=QUIET) == ""


@pytest.mark.parametrize(
    ("machine", "text"),
    [
        (MachineState(load=3.14, pressure=45.2), f"{SEEN}; at the start: load 3.1, CPU pressure 45%"),
        (MachineState(load=None, pressure=None), SEEN),
    ],
)
def test_a_busy_run_says_what_was_seen(machine, text):
    assert busy_text([epoch(1, waited=1.2, cpu=6.0)], n_threads=2, machine=machine) == text


def test_it_is_noticed_once_and_as_soon_as_the_whole_is_too_much():
    notice, history, answers = ContentionNotice(), [], []
    for waited in (0.1, 0.9, 4.0):
        history.append(epoch(len(history) + 1, waited=waited))
        answers.append(notice(history))
    assert answers == [None, 0.125, None]


@pytest.mark.parametrize(("max_time", "up"), [(None, False), (0.1, True), (10 / 60, True), (0.2, False)])
def test_time_counts_training_and_evaluation(max_time, up):
    config = RunConfig(model="linear", epochs=9, max_time=max_time)
    history = [epoch(1), epoch(2)]
    assert time_is_up(history, config) is up
    assert bool(stopped_text(history, config)) is up


def test_a_run_with_all_its_epochs_was_not_stopped_however_long_it_took():
    config = RunConfig(model="linear", epochs=2, max_time=0.01)
    assert stopped_text([epoch(1), epoch(2)], config) == ""
    assert stopped_text([epoch(1)], config) == "after 1 of 2 epochs: --max-time 0.01 had passed"
