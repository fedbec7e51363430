from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from cvexp.errors import InputError
from cvexp.stats import (
    Arm,
    accuracy_difference,
    agresti_min,
    arms_verdict,
    mcnemar_midp,
    score_difference,
    score_verdict,
    verdict,
)
from tests.stats.drawn import arm, correct

GOOD, POOR = correct(0.90, seed=1), correct(0.85, seed=2)


def test_a_difference_beyond_the_interval_is_better_or_worse():
    found = verdict(GOOD, POOR)
    assert found.kind == "better"
    assert found.difference == accuracy_difference(GOOD, POOR)
    assert not found.is_negligible
    assert found.n_seeds_needed is found.n_images_needed is None
    assert found.difference.low < found.low90 < found.difference.mean < found.high90 < found.difference.high
    assert verdict(POOR, GOOD).kind == "worse"


def test_a_difference_below_the_margin_is_negligible():
    found = verdict(GOOD, POOR, margin=0.2)
    assert found.kind == "better"
    assert found.is_negligible


def test_recipes_whose_90_percent_interval_lies_within_the_margin_are_tied():
    found = verdict(GOOD, correct(0.90, seed=4), margin=0.03)
    assert found.kind == "tied"
    assert found.difference.low < 0 < found.difference.high
    assert found.is_negligible


def test_otherwise_it_cannot_tell_and_says_how_many_seeds_would():
    found = verdict(correct(0.90, sd=0.01, seed=5), correct(0.895, sd=0.01, seed=7), margin=0.005)
    assert found.kind == "cannot-tell"
    assert found.n_seeds_needed > 5
    assert found.n_images_needed is None


def test_two_seeds_give_an_interval_but_no_verdict_about_recipes():
    found = verdict(GOOD[:2], POOR[:2])
    assert found.difference.low is not None
    assert found.kind == "cannot-tell"
    assert found.n_seeds_needed >= 3


def test_one_run_each_is_a_statement_about_these_two_models():
    found = verdict(GOOD[:1], POOR[:1])
    only_good, only_poor = int((GOOD[0] & ~POOR[0]).sum()), int((POOR[0] & ~GOOD[0]).sum())
    assert found.kind == "these-two-only"
    assert found.difference.mean == pytest.approx(GOOD[0].mean() - POOR[0].mean())
    assert (found.difference.low, found.difference.high) == agresti_min(only_good, only_poor, GOOD.shape[1])
    assert (found.low90, found.high90) == agresti_min(only_good, only_poor, GOOD.shape[1], confidence=0.9)
    assert found.p_value == mcnemar_midp(only_good, only_poor)
    assert found.win_share is None


def test_one_run_against_several_is_compared_with_the_run_of_its_seed():
    found = verdict(GOOD, POOR[:1], seeds_a=[1, 2, 3, 4, 5], seeds_b=[4])
    assert (found.kind, found.rows) == ("these-two-only", (3, 0))
    assert found.difference.mean == pytest.approx(GOOD[3].mean() - POOR[0].mean())
    assert verdict(GOOD, POOR[:1], seeds_a=[1, 2, 3, 4, 5], seeds_b=[9]).rows == (0, 0)


def test_a_collapsed_seed_withholds_the_interval_and_the_verdict():
    lost = GOOD.copy()
    lost[2] = np.arange(GOOD.shape[1]) % 10 == 0
    found = verdict(lost, POOR, n_classes=10)
    assert (found.kind, found.n_collapsed) == ("cannot-tell", (1, 0))
    assert found.difference.low is found.low90 is found.p_value is found.n_seeds_needed is None
    assert found.difference.mean == pytest.approx(lost.mean() - POOR.mean())
    assert verdict(lost, POOR).n_collapsed == (0, 0)  # the number of classes is not known


def test_win_share_counts_pairs_of_the_same_seed_and_half_of_ties():
    a = np.array([[1, 1, 1, 0], [1, 1, 0, 0], [1, 0, 0, 0]], dtype=bool)
    b = np.array([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 0]], dtype=bool)
    assert verdict(a, b).win_share == pytest.approx((1 + 0.5 + 0) / 3)


def test_win_share_of_unmatched_seeds_is_mann_whitneys():
    a, b = correct(0.90, sd=0.01, n_images=100, seed=8), correct(0.89, sd=0.01, n=4, n_images=100, seed=9)
    reference = stats.mannwhitneyu(a.mean(axis=1), b.mean(axis=1)).statistic / 20
    assert verdict(a, b, seeds_a=range(5), seeds_b=range(5, 9)).win_share == pytest.approx(reference)


def test_one_image_is_never_a_verdict():
    found = verdict(GOOD[:, :1], POOR[:, :1])
    assert (found.kind, found.difference.low) == ("cannot-tell", None)


def test_equal_predictions_on_few_images_are_not_a_tie():
    few, many = np.ones((3, 100), dtype=bool), np.ones((3, 400), dtype=bool)
    assert (verdict(few, few).kind, verdict(few, few).n_images_needed) == ("cannot-tell", 390)
    assert verdict(many, many).kind == "tied"


def test_without_records_the_interval_is_scipys_welch_and_says_so():
    a, b = [0.90, 0.91, 0.905, 0.899], [0.88, 0.885, 0.87]
    found = arms_verdict(Arm(name="a", accuracies=a, seeds=range(4)), Arm(name="b", accuracies=b, seeds=range(3)))
    reference = stats.ttest_ind(a, b, equal_var=False)
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(reference.confidence_interval()))
    assert found.p_value == pytest.approx(reference.pvalue)
    assert (found.kind, found.per_image, found.difference.n_images) == ("better", False, 0)
    assert not found.difference.paired


def test_one_arm_without_records_is_enough_for_welch():
    found = arms_verdict(arm("a", 0.9), Arm(name="b", accuracies=[0.8, 0.81, 0.82, 0.79, 0.8], seeds=range(5)))
    assert (found.kind, found.per_image) == ("better", False)


def test_equal_accuracies_without_records_are_not_a_tie():
    one, other = (Arm(name=name, accuracies=[0.9, 0.9, 0.9]) for name in "ab")
    found = arms_verdict(one, other)
    assert (found.kind, found.n_seeds_needed, found.n_images_needed) == ("cannot-tell", None, None)


def test_single_runs_without_records_have_a_difference_alone():
    found = arms_verdict(Arm(name="a", accuracies=[0.9]), Arm(name="b", accuracies=[0.8]))
    assert (found.kind, found.difference.low, found.p_value) == ("these-two-only", None, None)
    assert found.difference.mean == pytest.approx(0.1)


def test_of_scores_less_is_better():
    draw = np.random.default_rng(10)
    low, high = draw.gamma(1.0, 0.3, (5, 2000)), draw.gamma(1.0, 0.4, (5, 2000))
    found = score_verdict(low, high, margin=0.01)
    assert (found.kind, found.metric, found.win_share) == ("better", "log-loss", 1)
    assert found.difference == score_difference(low, high)
    assert found.difference.high < 0
    assert score_verdict(high, low, margin=0.01).kind == "worse"


def test_scores_of_single_runs_have_scipys_paired_t_over_images():
    x, y = np.random.default_rng(11).gamma(1.0, 0.3, (2, 1, 500))
    found = score_verdict(x, y, margin=0.01, metric="Brier score")
    reference = stats.ttest_rel(x[0], y[0])
    assert found.kind == "these-two-only"
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(reference.confidence_interval()))
    assert found.p_value == pytest.approx(reference.pvalue)


def test_scores_of_one_image_are_never_a_verdict():
    assert score_verdict([[0.1], [0.2]], [[0.3], [0.4]], margin=0.01).kind == "cannot-tell"


@pytest.mark.parametrize("margin", [0, -0.1, math.nan])
def test_a_margin_is_above_0(margin):
    with pytest.raises(InputError, match="margin"):
        verdict(GOOD, POOR, margin=margin)
    with pytest.raises(InputError, match="margin"):
        score_verdict(GOOD.astype(float), POOR.astype(float), margin=margin)


def test_seeds_of_one_arm_alone_are_refused():
    with pytest.raises(InputError, match="both arms or of neither"):
        verdict(GOOD, POOR, seeds_a=range(5))


@pytest.mark.parametrize("given", [{}, {"accuracies": []}, {"accuracies": [1.2]}, {"accuracies": [math.nan]}])
def test_an_arm_needs_records_or_accuracies(given):
    with pytest.raises(InputError, match="one accuracy in"):
        Arm(name="a", **given)
