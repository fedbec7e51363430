"""Trials read from a store and from what waits here."""

from __future__ import annotations

import pytest

from cvexp.config.experiment import read_experiment
from cvexp.jobs import compare
from cvexp.jobs.sweep_plan import cost_of
from cvexp.jobs.trials import known_trials, seconds_spent, tried
from cvexp.runs import ATTEMPT, CONFIRMS, PRUNED, SWEEP, TRIAL, TRIAL_NUMBER
from cvexp.settings import store_settings
from cvexp.tracking.queries import find
from cvexp.tracking.store import open_store

FILE = """
defaults: {dataset: digits, epochs: 3, val_split: 0.1, device: cpu}
sweep:
  search: random
  runs: 9
  space: {model: [linear, mlp], lr: {low: 0.001, high: 1, log: true}}
"""


@pytest.fixture
def sweep(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(FILE)
    return read_experiment(path).sweep


@pytest.fixture
def settings(record):
    return store_settings(record.uri, "Default")


def trial(record, sweep, number, *, attempt=1, accuracy=0.5, tags=None, lr=0.1, **more):
    own = {SWEEP: sweep.digest, TRIAL: f"key{number}", TRIAL_NUMBER: str(number), ATTEMPT: str(attempt)}
    figures = {"val/accuracy": accuracy, "val/loss": 1.0, "time/total_seconds": 2.0}
    asked = {"epochs": 3, "val_split": 0.1, "lr": lr}
    return record(f"trial-{number}-{attempt}", tags=own | (tags or {}), figures=figures, **asked, **more)


def test_of_several_attempts_the_first_that_finished_counts(record, sweep, settings):
    trial(record, sweep, 0, status="KILLED")
    second = trial(record, sweep, 0, attempt=2)
    trial(record, sweep, 0, attempt=3, accuracy=0.9)
    (known,) = known_trials(sweep, settings).trials.values()
    assert (known.run_id, known.state, known.attempts, known.metrics["val/accuracy"]) == (second, "finished", 3, 0.5)
    assert known.point == {"model": "linear", "lr": 0.1}


def test_states_follow_from_status_and_tags(record, sweep, settings):
    trial(record, sweep, 0, tags={PRUNED: "after 1 of 3 epochs", "cvexp.epochs": "1"})
    trial(record, sweep, 1, status="FAILED", tags={"cvexp.end_reason": "the loss is nan"})
    trial(record, sweep, 2, status="KILLED")
    trial(record, sweep, 3, tags={CONFIRMS: "key0"}, seed=43)
    found = known_trials(sweep, settings)
    states = {one.number: (one.state, one.epochs, one.reason) for one in found.trials.values()}
    assert states == {0: ("pruned", 1, ""), 1: ("failed", 0, "the loss is nan"), 2: ("interrupted", 0, "")}
    assert [(one.number, one.seed, one.confirms) for one in found.repeats.values()] == [(3, 43, "key0")]


def test_a_runs_content_is_not_trusted(record, sweep, settings):
    trial(record, sweep, 0, lr=5.0)
    trial(record, sweep, 1, tags={TRIAL_NUMBER: "first"})
    trial(record, sweep, 2, tags={TRIAL_NUMBER: "9" * 40})
    trial(record, sweep, 3, tags={TRIAL: ""})
    trial(record, sweep, 4, tags={SWEEP: "another"})
    assert known_trials(sweep, settings).trials == {}


def test_the_search_sees_figures_of_trials_that_ended_only(record, sweep, settings):
    trial(record, sweep, 0)
    trial(record, sweep, 1, status="KILLED")
    first, second = (tried(one, sweep, cost_of) for one in known_trials(sweep, settings).trials.values())
    assert {(first.state, first.values), (second.state, second.values)} == {("finished", (0.5,)), ("waiting", ())}


def test_times_in_which_several_trials_ran_count_once(record, sweep, settings):
    for number in range(3):
        trial(record, sweep, number)
    first, second, third = known_trials(sweep, settings).trials.values()
    first.started_at, second.started_at, third.started_at = 100.0, 101.0, 200.0
    assert seconds_spent([first, second, third]) == pytest.approx(5.0)


def test_trials_are_compared_where_they_are_named_only(record, sweep, settings):
    ordinary = record("ordinary", figures={"test/accuracy": 0.4, "val/accuracy": 0.4}, val_split=0.1)
    run_id = trial(record, sweep, 0, accuracy=0.99)
    found = compare.run([], settings)
    assert [run.run_id for run in found.runs] == [ordinary]
    assert "1 trials of sweeps, without test figures, are left out" in " ".join(found.notes)
    assert [run.run_id for run in compare.run([], settings, request=compare.Request(last=1)).runs] == [ordinary]
    where = compare.Request(where=f"tags.`{SWEEP}` = '{sweep.digest}'")
    assert [run.run_id for run in compare.run([], settings, request=where).runs] == [run_id]
    assert len(compare.run([run_id, ordinary], settings).runs) == 2
    assert find(open_store(settings, create=False), "@best").run.run_id == ordinary


def test_a_trial_that_was_measured_on_the_test_images_is_a_run_like_others(record, sweep, settings):
    run_id = record("measured", tags={SWEEP: sweep.digest}, figures={"test/accuracy": 0.4})
    assert [run.run_id for run in compare.run([], settings).runs] == [run_id]
