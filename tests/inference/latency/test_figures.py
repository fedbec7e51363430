from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cvexp.inference.latency.figures import Ratio, geometric_mean, half_width, pairwise_confidence, quantiles, ratios


def test_the_interval_of_a_mean_of_logarithms_is_students_t():
    logs = np.log(np.random.default_rng(0).lognormal(0.1, 0.05, 17))
    found = geometric_mean(logs)
    expected = stats.ttest_1samp(logs, 0).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))
    assert found.value == pytest.approx(stats.gmean(np.exp(logs)))
    assert half_width(logs, 0.95) == pytest.approx((expected.high - expected.low) / 2)


def test_one_value_has_no_interval():
    found = geometric_mean(np.array([0.5]))
    assert (found.low, found.high) == (None, None)
    assert half_width(np.array([0.5]), 0.95) == math.inf


@pytest.mark.parametrize(("n_models", "confidence"), [(1, 0.95), (2, 0.95), (3, 1 - 0.05 / 3), (5, 1 - 0.05 / 10)])
def test_the_intervals_of_all_pairs_share_the_error(n_models, confidence):
    assert pairwise_confidence(n_models) == pytest.approx(confidence)


def test_ratios_are_of_every_pair_and_paired_by_round():
    drift = np.linspace(0, 1, 20)[:, None]  # the machine slows down by e, which concerns all models alike
    noise = np.random.default_rng(1).normal(0, 0.01, (20, 3))
    logs = drift + np.log([1.0, 2.0, 3.0]) + noise
    found = {(one.a, one.b): one.times for one in ratios(logs)}
    assert list(found) == [(0, 1), (0, 2), (1, 2)]
    for (a, b), times in found.items():
        assert times.low < (a + 1) / (b + 1) < times.high
        expected = stats.ttest_rel(logs[:, a], logs[:, b]).confidence_interval(1 - 0.05 / 3)
        assert (times.low, times.high) == pytest.approx((math.exp(expected.low), math.exp(expected.high)))


def test_a_ratio_turned_round_keeps_its_interval():
    ratio = Ratio(a=0, b=1, times=geometric_mean(np.log([0.4, 0.5, 0.6])))
    inverse = ratio.inverse
    assert (inverse.a, inverse.b) == (1, 0)
    assert inverse.times.value == pytest.approx(1 / ratio.times.value)
    assert inverse.times.low == pytest.approx(1 / ratio.times.high)
    assert (ratio.certainly_slower, inverse.certainly_slower) == (False, True)


def test_quantiles_are_those_of_all_calls():
    rounds = [np.arange(10.0), np.arange(10.0, 30.0)]
    p50, p90 = quantiles(rounds, (0.5, 0.9))
    assert (p50.value, p90.value) == pytest.approx((np.median(np.arange(30)), np.quantile(np.arange(30), 0.9)))


def test_the_bootstrap_draws_rounds_and_never_calls():
    """Calls of one round equal each other: drawing calls would give an interval hundreds of times too narrow."""
    levels = np.random.default_rng(2).normal(1, 0.1, 25)
    many, few = ([np.full(n, level) for level in levels] for n in (4000, 1))
    wide, expected = (quantiles(rounds, (0.5,))[0] for rounds in (many, few))
    assert (wide.low, wide.high) == (expected.low, expected.high)
    by_scipy = stats.bootstrap((levels,), np.median, method="percentile", n_resamples=5000, rng=3).confidence_interval
    assert (wide.low, wide.high) == pytest.approx((by_scipy.low, by_scipy.high), abs=0.02)
    assert wide.low < wide.value < wide.high


def test_many_calls_are_binned_without_moving_the_interval():
    generator = np.random.default_rng(4)
    rounds = [np.exp(generator.normal(generator.normal(0, 0.05), 0.2, 300)) for _ in range(40)]
    p50, p90 = quantiles(rounds, (0.5, 0.9))
    drawn = [np.concatenate([rounds[i] for i in generator.integers(0, 40, 40)]) for _ in range(1000)]
    for found, level in ((p50, 0.5), (p90, 0.9)):
        low, high = np.quantile([np.quantile(one, level) for one in drawn], [0.025, 0.975])
        assert (found.low, found.high) == pytest.approx((low, high), abs=0.005)


def test_one_round_has_no_interval():
    (p50,) = quantiles([np.arange(5.0)], (0.5,))
    assert (p50.value, p50.low, p50.high) == (2.0, None, None)
