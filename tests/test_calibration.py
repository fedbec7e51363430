from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from cvexp import calibration as calibration_room
from cvexp.calibration import calibration, wilson


def by_hand(confidence, correct, n_bins):
    """The calibration error with bins of exactly equal size, for confidences that are all different."""
    ranked = sorted(zip(confidence, correct, strict=True))
    n = len(ranked)
    total = 0.0
    for k in range(n_bins):
        inside = ranked[k * n // n_bins : (k + 1) * n // n_bins]
        total += abs(sum(c for c, _ in inside) - sum(hit for _, hit in inside))
    return total / n


def sample(n, *, power=1.0, seed=0):
    """Confidences, and whether each prediction was right, with probability confidence ** power."""
    rng = np.random.default_rng(seed)
    confidence = rng.beta(4, 1.2, size=n)
    return confidence, rng.random(n) < confidence**power


@pytest.mark.parametrize(("n", "n_bins"), [(2000, 15), (1000, 7), (31, 10), (5, 5), (1, 1)])
def test_the_error_is_the_one_calculated_by_hand(n, n_bins):
    confidence, correct = sample(n, power=1.5)
    found = calibration(confidence, correct, n_bins=n_bins)
    assert found.error == pytest.approx(by_hand(confidence, correct, n_bins))
    assert found.low <= found.error
    assert len(found.bins) == n_bins
    assert sum(one.n_images for one in found.bins) == n
    assert max(one.n_images for one in found.bins) - min(one.n_images for one in found.bins) <= 1


def test_bins_say_what_is_in_them():
    found = calibration(np.array([0.9, 0.5, 0.7, 0.6]), np.array([True, False, True, False]), n_bins=2)
    low, high = found.bins
    assert (low.low, low.high, low.n_images, low.confidence, low.accuracy) == (0.5, 0.6, 2, pytest.approx(0.55), 0)
    assert (high.low, high.high, high.n_images, high.confidence, high.accuracy) == (0.7, 0.9, 2, pytest.approx(0.8), 1)
    assert found.error == pytest.approx((2 * 0.55 + 2 * 0.2) / 4)
    assert (found.confidence, found.accuracy) == (pytest.approx(0.675), 0.5)


def test_fewer_images_than_bins_and_equal_confidences():
    assert len(calibration(np.array([0.2, 0.4]), np.array([True, False])).bins) == 2
    # All in one bin: the order of images that a model is equally sure of must not matter.
    correct = np.arange(1000) < 900
    found = calibration(np.full(1000, 0.9), correct)
    assert len(found.bins) == 1
    assert found.error == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(("share", "n"), [(0.0, 20), (1.0, 20), (0.3, 10), (0.9, 1000), (1.0, 1)])
def test_the_interval_of_a_bin_is_scipys(share, n):
    expected = binomtest(round(share * n), n).proportion_ci(method="wilson")
    assert wilson(share, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_a_calibrated_model_is_not_accused_and_an_overconfident_one_is():
    calibrated = calibration(*sample(5000))
    assert calibrated.low == 0
    assert calibrated.error > 0.005  # noise alone, which a percentile interval would not let reach 0
    overconfident = calibration(*sample(5000, power=1.5))
    assert overconfident.low > 0.04
    assert overconfident.confidence > overconfident.accuracy


def test_the_same_images_give_the_same_interval():
    assert calibration(*sample(500)) == calibration(*sample(500))


@pytest.mark.slow
@pytest.mark.parametrize("n", [300, 1000, 5000])
@pytest.mark.parametrize("power", [1.0, 1.1, 1.5])
def test_the_interval_covers_the_true_error(power, n, monkeypatch):
    monkeypatch.setattr(calibration_room, "N_RESAMPLES", 300)
    confidence, _ = sample(1_000_000, seed=99)
    order = np.sort(confidence)
    true = sum(abs((part - part**power).sum()) for part in np.array_split(order, 15)) / len(order)
    found = [calibration(*sample(n, power=power, seed=seed)) for seed in range(200)]
    covered = np.mean([one.low <= true + 1e-12 and true <= one.high for one in found])
    assert covered >= 0.90  # 95% less three standard errors of 200 samples
