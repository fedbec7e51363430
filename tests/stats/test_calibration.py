"""Error rates by simulation, in a few cells with fixed seeds; `python -m benchmarks calibration` is the whole of it."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import calibration
from benchmarks.calibration import (
    ACCURACY,
    NOISE,
    SHARED,
    Cell,
    World,
    balanced,
    false_among,
    lost_best,
    two_models,
    two_recipes,
)
from cvexp.stats import verdict

ALLOWED = 2.5
"""Monte Carlo standard errors beyond a bound that chance explains."""


def check(cells):
    for cell in cells:
        assert not cell.is_outside(errors=ALLOWED), cell


def world(**changed):
    given = {"accuracies": (ACCURACY, ACCURACY), "seed_sd": NOISE["0.75"], "likeness": 0.9, "shared": SHARED}
    return World(**{**given, **changed})


def test_the_simulated_world_is_the_measured_one():
    a, b = world().draw(150, 4000, np.random.default_rng(20))
    accuracies = np.array([a.mean(axis=1), b.mean(axis=1)])
    assert 0.006 < accuracies.std(axis=1).mean() < 0.010  # measured: 0.6 to 0.9 points on 10,000 images
    assert 0.5 < np.corrcoef(accuracies)[0, 1] < 0.8  # 0.70
    assert 0.07 < np.mean(a[0] != a[1]) < 0.11  # 7 to 11%
    assert np.mean(a[0] != b[0]) > np.mean(a[0] != a[1])
    still = world(seed_sd=(0.0, 0.0)).draw(150, 4000, np.random.default_rng(21))[0]
    assert still.mean(axis=1).std() * np.sqrt(0.4) == pytest.approx(0.002, abs=0.0004)  # 0.2 points on 10,000 images


def test_expected_accuracies_are_exact():
    rng = np.random.default_rng(22)
    drawn = np.array([[x.mean() for x in world(accuracies=(0.84, 0.83)).draw(1, 4000, rng)] for _ in range(300)])
    error = drawn.std(axis=0) / np.sqrt(300)
    assert (np.abs(drawn.mean(axis=0) - [0.84, 0.83]) < 3 * error).all()


def test_a_single_run_read_as_a_recipe_is_wrong_half_of_the_time():
    rng = np.random.default_rng(23)
    p_values = [verdict(*world(likeness=1.0, shared=0.0).draw(1, 10_000, rng)).p_value for _ in range(150)]
    assert np.mean(np.array(p_values) < 0.05) > 0.4  # measured: 56 to 65%


@pytest.mark.parametrize("form", ["paired", "nested"])
def test_intervals_keep_their_level(form):
    check(two_recipes(3, 1000, "0.75", form, repetitions=250, rng=np.random.default_rng(24)))


@pytest.mark.parametrize("n_images", [1000, 10_000])
def test_two_single_runs_are_rejected_and_covered_at_the_level(n_images):
    check(two_models(n_images, 0.1, repetitions=3000, rng=np.random.default_rng(25)))


@pytest.mark.parametrize("n", [1, 3])
def test_verdicts_on_balanced_accuracy_keep_their_level(n):
    check(balanced(n, 500, 30.0, repetitions=300, rng=np.random.default_rng(30)))


def test_a_share_out_of_its_bounds_is_noticed():
    cell = {"setting": {}, "repetitions": 400, "seconds": 0.0}
    assert Cell(what="false, two recipes", share=0.12, **cell).is_outside(errors=ALLOWED)
    assert Cell(what="coverage", share=0.88, **cell).is_outside(errors=ALLOWED)
    assert Cell(what="lost", share=0.10, **cell).is_outside(errors=ALLOWED)
    assert Cell(what="rejected, mid-p McNemar", share=0.01, **cell).is_outside(errors=ALLOWED)
    assert not Cell(what="coverage", share=0.95, **cell).is_outside()


def test_the_tables_show_every_cell():
    cells = two_recipes(2, 20, "0.75", "nested", repetitions=2, rng=np.random.default_rng(26))
    assert calibration.interval_table(cells).count("\n") == 4
    assert "| coverage | form nested" in calibration.other_table(cells)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["paired", "nested"])
@pytest.mark.parametrize("noise", NOISE)
@pytest.mark.parametrize("n_images", [1000, 10_000])
@pytest.mark.parametrize("n", [3, 5])
def test_intervals_keep_their_level_in_every_kind_of_cell(n, n_images, noise, form):
    check(two_recipes(n, n_images, noise, form, repetitions=400, rng=np.random.default_rng(27)))


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [1.0, 30.0])
@pytest.mark.parametrize("n_images", [500, 5000])
@pytest.mark.parametrize("n", [1, 3, 5])
def test_verdicts_on_balanced_accuracy_keep_their_level_in_every_kind_of_cell(n, n_images, ratio):
    check(balanced(n, n_images, ratio, repetitions=400, rng=np.random.default_rng(31)))


@pytest.mark.slow
@pytest.mark.parametrize("lead", [0.0, 0.002])
def test_the_best_recipe_stays_a_contender(lead):
    check(lost_best(5, lead, repetitions=250, rng=np.random.default_rng(28)))


@pytest.mark.slow
def test_holm_keeps_false_verdicts_among_many_pairs_rare():
    check(false_among(5, repetitions=150, rng=np.random.default_rng(29)))
