"""Grid and random points."""

from __future__ import annotations

import math
from collections import Counter

from cvexp.config.space import Choices, Range
from cvexp.sweep.points import grid_point, random_point

LISTS = {"model": Choices(options=("mlp", "tinyvgg")), "hidden_units": Range(low=8, high=16, step=4, whole=True)}
RANGES = {"lr": Range(low=1e-4, high=1e-1, log=True), "hidden_units": Range(low=1, high=4, log=True, whole=True)}


def drawn(space, n, seed=0):
    return [random_point(space, number, seed=seed) for number in range(n)]


def test_a_grid_has_every_point_once_the_last_setting_first():
    points = [grid_point(LISTS, number) for number in range(6)]
    assert [(p["model"], p["hidden_units"]) for p in points] == [
        ("mlp", 8),
        ("mlp", 12),
        ("mlp", 16),
        ("tinyvgg", 8),
        ("tinyvgg", 12),
        ("tinyvgg", 16),
    ]
    assert list(points[0]) == list(LISTS)
    assert grid_point(LISTS, 6) is None


def test_random_points_of_a_small_space_are_all_of_it_each_once():
    points = drawn(LISTS, 6)
    assert len({tuple(p.values()) for p in points}) == 6
    assert points != [grid_point(LISTS, n) for n in range(6)]
    assert random_point(LISTS, 6, seed=0) is None


def test_a_random_point_depends_on_its_number_alone():
    assert random_point(RANGES, 7, seed=0) == drawn(RANGES, 8)[7]
    assert drawn(RANGES, 8)[1:] != drawn(RANGES, 8, seed=1)[:-1], "another seed is no shift of the same draws"


def test_ranges_are_even_on_their_scale_and_keep_their_ends():
    points = drawn(RANGES, 2000)
    rates = [math.log10(p["lr"]) for p in points]
    assert -4 <= min(rates) < -3.99
    assert -1.01 < max(rates) <= -1
    thirds = Counter(int(-rate) for rate in rates)
    assert all(550 < thirds[n] < 780 for n in (1, 2, 3))
    assert {p["hidden_units"] for p in points} == {1, 2, 3, 4}
