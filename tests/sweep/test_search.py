"""What is tried next: no point twice, in one start or over several, and the same after a restart."""

from __future__ import annotations

from fractions import Fraction

import pytest

from cvexp.config.goals import Goal
from cvexp.config.space import Choices, Range
from cvexp.config.sweep import Pruning, Sweep
from cvexp.errors import ConfigError
from cvexp.sweep import study
from cvexp.sweep.search import Search
from cvexp.sweep.trials import Tried, best_first, front

ACCURACY, SIZE = Goal(figure="val/accuracy", maximize=True), Goal(figure="parameters", maximize=False)
SMALL = {"model": Choices(options=("mlp", "tinyvgg")), "batch_size": Choices(options=(16, 32, 64))}
WIDE = {"lr": Range(low=1e-4, high=1.0, log=True), "model": Choices(options=("mlp", "tinyvgg"))}


def sweep(search, space, goals=(ACCURACY,)):
    return Sweep(
        search=search,
        seed=3,
        goals=goals,
        space=space,
        fixed={"dataset": "digits"},
        runs=50,
        minutes=None,
        prune=Pruning(min_epochs=1, keep=Fraction(1, 3)),
        confirm=None,
    )


def key_of(point):
    return repr(sorted(point.items()))


def ended(proposal, values=(0.5,), state="finished"):
    return Tried(number=proposal.number, key=proposal.key, point=proposal.point, state=state, values=values, epochs=3)


def run(asked, n, tried=None, measure=lambda _point: (0.5,)):
    """Try `n` points one after the other, in one start."""
    tried, search, order = dict(tried or {}), Search(asked, key_of), []
    for _ in range(n):
        proposal = search.next(tried)
        if proposal is None:
            break
        assert proposal.key not in tried
        tried[proposal.key] = ended(proposal, measure(proposal.point))
        order.append(proposal)
    return tried, order


@pytest.mark.parametrize("search", ["grid", "random", "tpe"])
def test_a_small_space_is_tried_whole_and_no_point_twice(search):
    tried, order = run(sweep(search, SMALL), 20)
    assert len(tried) == len(order) == 6
    assert len({one.number for one in order}) == 6


@pytest.mark.parametrize("search", ["random", "tpe"])
def test_a_resumed_sweep_draws_what_an_uninterrupted_one_would(search):
    whole, _ = run(sweep(search, WIDE), 14)
    some, _ = run(sweep(search, WIDE), 5)
    resumed, _ = run(sweep(search, WIDE), 9, tried=some)
    assert resumed == whole


def test_a_point_that_never_became_a_run_is_drawn_again():
    tried, order = run(sweep("random", WIDE), 6)
    lost = tried.pop(order[2].key)
    again = Search(sweep("random", WIDE), key_of).next(tried)
    assert (again.key, again.number) == (lost.key, lost.number)


def test_points_whose_values_do_not_go_together_are_left_out():
    search = Search(sweep("grid", SMALL), lambda point: None if point["model"] == "mlp" else key_of(point))
    proposal = search.next({})
    assert proposal.point == {"model": "tinyvgg", "batch_size": 16}


def test_trials_under_way_are_not_proposed_again_and_move_tpe_elsewhere():
    asked = sweep("tpe", WIDE)
    tried, _ = run(asked, 15, measure=lambda point: (1 - point["lr"],))
    search, under_way = Search(asked, key_of), dict(tried)
    for _ in range(6):
        proposal = search.next(under_way)
        under_way[proposal.key] = ended(proposal, (), "waiting")
    assert len(under_way) == len(tried) + 6


def test_tpe_finds_the_better_half_of_a_space():
    _, order = run(sweep("tpe", WIDE), 40, measure=lambda point: (1 - point["lr"] if point["model"] == "mlp" else 0.0,))
    late = [one.point for one in order[20:]]
    assert sum(point["model"] == "mlp" for point in late) > 15


def test_tpe_takes_two_goals_and_pruned_and_failed_trials():
    asked = sweep("tpe", WIDE, (ACCURACY, SIZE))
    tried, order = run(asked, 12, measure=lambda point: (0.5 + point["lr"] / 3, 1000 * point["lr"]))
    tried[order[0].key] = ended(order[0], (), "failed")
    assert Search(asked, key_of).next(tried).key not in tried
    one = sweep("tpe", WIDE)
    tried, order = run(one, 12)
    tried[order[0].key], tried[order[1].key] = ended(order[0], (0.1,), "pruned"), ended(order[1], (), "failed")
    assert Search(one, key_of).next(tried).key not in tried


def test_without_optuna_tpe_is_refused_in_three_lines(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError) as refused:
        study.check_here()
    assert len(refused.value.lines()) == 3
    assert study.importances(WIDE, ACCURACY, []) == {}


def test_the_setting_that_decides_is_the_most_important_one():
    tried, _ = run(sweep("random", WIDE), 60, measure=lambda point: (-abs(point["lr"] - 0.01),))
    found = study.importances(WIDE, ACCURACY, list(tried.values()))
    assert list(found) == ["lr", "model"]
    assert found["lr"] > 0.8
    assert sum(found.values()) == pytest.approx(1)


def test_pruned_trials_are_not_ranked_and_a_front_has_no_beaten_one():
    def trial(number, values, state="finished"):
        return Tried(number=number, key=str(number), point={}, state=state, values=values)

    trials = [trial(0, (0.8, 10.0)), trial(1, (0.9, 10.0)), trial(2, (0.7, 5.0)), trial(3, (0.7, 6.0))]
    trials += [trial(4, (0.99, 1.0), "pruned"), trial(5, (), "failed"), trial(6, (float("nan"), 1.0))]
    assert [one.number for one in best_first(trials, ACCURACY)] == [1, 0, 2, 3, 6]
    assert [one.number for one in front(trials[:6], (ACCURACY, SIZE))] == [1, 2]
