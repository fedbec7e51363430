from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cvexp.errors import InputError
from cvexp.stats import collapsed, mean_interval


@pytest.mark.parametrize("confidence", [0.9, 0.95])
def test_interval_is_scipys_t(confidence):
    values = [0.881, 0.874, 0.890, 0.885, 0.879]
    reference = stats.ttest_1samp(values, 0).confidence_interval(confidence)
    found = mean_interval(values, confidence=confidence)
    assert (found.low, found.high) == pytest.approx(tuple(reference), rel=1e-12)
    assert (found.mean, found.std, found.n) == pytest.approx((np.mean(values), np.std(values, ddof=1), 5))


def test_one_value_has_no_interval():
    found = mean_interval([0.88])
    assert (found.mean, found.std, found.low, found.high, found.n) == (0.88, None, None, None, 1)


def test_equal_values_have_an_interval_without_width():
    found = mean_interval([0.5, 0.5, 0.5])
    assert (found.std, found.low, found.high) == (0, 0.5, 0.5)


def test_a_collapsed_seed_withholds_the_interval():
    values = [0.9, 0.89, 0.1]
    found = mean_interval(values, n_classes=10)
    assert found.low is found.high is None
    assert found.mean == pytest.approx(0.63)
    assert mean_interval(values).low is not None  # nobody said that these are accuracies


@pytest.mark.parametrize("values", [[], [math.nan, 0.5], [0.1, math.inf], [[0.1, 0.2]]])
def test_values_that_are_not_one_finite_number_per_seed_are_refused(values):
    with pytest.raises(InputError, match="one finite value per seed"):
        mean_interval(values)


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_is_a_fraction(confidence):
    with pytest.raises(InputError, match="between 0 and 1"):
        mean_interval([1, 2], confidence=confidence)


@pytest.mark.parametrize(
    ("n_classes", "limit"), [(2, 0.525), (10, 0.145), (100, 0.015)], ids=["2 classes", "10 classes", "100 classes"]
)
def test_seeds_collapse_at_chance_level(n_classes, limit):
    assert collapsed([1 / n_classes, limit - 1e-9, limit + 1e-9, 0.9], n_classes) == (True, True, False, False)


def test_guesses_at_random_collapse():
    guesses = np.random.default_rng(5).integers(10, size=(200, 1000)) == np.arange(1000) % 10
    assert all(collapsed(guesses.mean(axis=1), 10))


def test_one_class_for_every_image_collapses_where_classes_are_uneven():
    assert collapsed([0.6], 3, largest_share=0.6) == (True,)
    assert collapsed([0.6], 3) == (False,)


def test_one_class_is_refused():
    with pytest.raises(InputError, match="at least 2"):
        collapsed([1.0], 1)
