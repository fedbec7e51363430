"""Which trial comes next: interrupted ones, then new ones within the budget."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cvexp.config.experiment import read_experiment
from cvexp.jobs.sweep_plan import SweepPlan
from cvexp.jobs.sweep_search import Searching
from cvexp.jobs.trials import Known, Trial
from cvexp.settings import store_settings

FILE = """
defaults: {dataset: digits, epochs: 3, val_split: 0.1, model: linear}
sweep:
  search: grid
  runs: 5
  space: {lr: [0.1, 0.2, 0.3, 0.4], batch_size: [16, 32]}
"""


@pytest.fixture
def planned(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(FILE)
    sweep = read_experiment(path).sweep
    return SweepPlan(path=path, settings=store_settings(f"sqlite:///{tmp_path}/none.db"), sweep=sweep)


def trial(planned, number, state, *, seconds=0.0):
    point = {"lr": (number // 2 + 1) / 10, "batch_size": 16 * (1 + number % 2)}
    config, key = planned.completed(planned.sweep.config(point))
    one = Trial(number=number, key=key, point=point, config=config, state=state)
    one.started_at, one.seconds = 100.0 * number, seconds
    return one


def known(*trials):
    return Known(trials={one.key: one for one in trials}, repeats={}, resumable=frozenset())


def numbers(searching):
    found = []
    while (one := searching.next()) is not None:
        found.append(one.number)
    return found


def test_interrupted_trials_go_on_before_new_ones_and_the_budget_counts_all(planned):
    before = known(trial(planned, 0, "finished"), trial(planned, 1, "interrupted"), trial(planned, 2, "failed"))
    assert numbers(Searching(planned, before, retry_failed=False)) == [1, 3, 4]
    assert numbers(Searching(planned, before, retry_failed=True)) == [1, 2, 3, 4]


def test_an_extended_sweep_goes_on_and_a_whole_grid_is_exhausted(planned):
    before = known(*(trial(planned, n, "finished") for n in range(5)))
    assert numbers(Searching(planned, before, retry_failed=False)) == []
    longer = replace(planned, sweep=replace(planned.sweep, runs=60))
    searching = Searching(longer, before, retry_failed=False)
    assert numbers(searching) == [5, 6, 7]
    assert searching.exhausted


def test_once_trials_ran_for_the_minutes_no_further_one_begins_but_interrupted_ones_go_on(planned):
    timed = replace(planned, sweep=replace(planned.sweep, runs=None, minutes=2.0))
    now = [0.0]
    before = known(trial(planned, 0, "finished", seconds=60.0), trial(planned, 1, "interrupted"))
    searching = Searching(timed, before, retry_failed=False, clock=lambda: now[0])
    assert searching.next().number == 1
    now[0] = 59.0
    assert searching.next().number == 2
    now[0] = 61.0
    assert searching.next() is None
    assert not searching.exhausted


def test_time_in_which_nothing_was_trained_does_not_count(planned):
    timed = replace(planned, sweep=replace(planned.sweep, runs=None, minutes=2.0))
    now = [0.0]
    searching = Searching(timed, known(), retry_failed=False, clock=lambda: now[0])
    now[0] = 500.0
    assert searching.next().number == 0
    now[0] = 600.0
    assert searching.next().number == 1
    now[0] = 621.0
    assert searching.next() is None
