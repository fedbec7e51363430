from __future__ import annotations

import math
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.formula.api import ols
from statsmodels.stats.anova import anova_lm

from cvexp.errors import InputError
from cvexp.stats import accuracy_difference, agresti_min, score_difference
from cvexp.stats.difference import estimate

# Three seeds (rows) and six images (columns) of two recipes.
A = np.array([[1, 1, 0, 1, 1, 0], [1, 0, 0, 1, 1, 1], [1, 1, 1, 1, 0, 1]], dtype=bool)
B = np.array([[1, 0, 0, 1, 0, 0], [0, 1, 0, 1, 1, 0], [1, 0, 0, 1, 0, 1]], dtype=bool)


def mean_squares(d):
    """S², s² and R, cell by cell."""
    n, n_images = len(d), len(d[0])
    mean = sum(map(sum, d)) / (n * n_images)
    rows = [sum(row) / n_images for row in d]
    columns = [sum(row[i] for row in d) / n for i in range(n_images)]
    rest = sum((d[s][i] - rows[s] - columns[i] + mean) ** 2 for s in range(n) for i in range(n_images))
    return (
        mean,
        sum((m - mean) ** 2 for m in rows) / (n - 1),
        sum((m - mean) ** 2 for m in columns) / (n_images - 1),
        rest / ((n - 1) * (n_images - 1)),
    )


def check(found, mean, variance, df):
    half = stats.t.ppf(0.975, df) * math.sqrt(variance)
    assert found.mean == pytest.approx(mean, rel=1e-12)
    assert found.df == pytest.approx(df, rel=1e-12)
    assert (found.low, found.high) == pytest.approx((mean - half, mean + half), rel=1e-10)


def test_paired_interval_is_the_formula_by_hand():
    n, n_images = A.shape
    mean, seeds, images, rest = mean_squares((A.astype(int) - B).tolist())
    seeds = max(seeds, rest / n_images)
    variance = max(seeds / n + images / n_images - rest / (n * n_images), images / n_images)
    df = variance**2 / ((seeds / n) ** 2 / (n - 1) + (images / n_images) ** 2 / (n_images - 1))
    found = accuracy_difference(A, B, seeds_a=[0, 1, 2], seeds_b=[0, 1, 2])
    check(found, mean, variance, df)
    assert (found.paired, found.n_seeds, found.n_images) == (True, 3, 6)


def test_nested_interval_is_the_formula_by_hand():
    b = B[:2]
    n, m, n_images = 3, 2, 6
    _, seeds_a, _, rest_a = mean_squares(A.astype(int).tolist())
    _, seeds_b, _, rest_b = mean_squares(b.astype(int).tolist())
    seeds_a, seeds_b = max(seeds_a, rest_a / n_images), max(seeds_b, rest_b / n_images)
    columns = [sum(A[:, i]) / n - sum(b[:, i]) / m for i in range(n_images)]
    mean = sum(columns) / n_images
    images = sum((c - mean) ** 2 for c in columns) / (n_images - 1)
    variance = seeds_a / n + seeds_b / m + images / n_images - rest_a / (n * n_images) - rest_b / (m * n_images)
    variance = max(variance, images / n_images)
    below = (seeds_a / n) ** 2 / (n - 1) + (seeds_b / m) ** 2 / (m - 1) + (images / n_images) ** 2 / (n_images - 1)
    found = accuracy_difference(A, b, seeds_a=[0, 1, 2], seeds_b=[5, 6])
    check(found, mean, variance, variance**2 / below)
    assert (found.paired, found.n_seeds) == (False, 2)


def test_components_are_the_mean_squares_of_a_two_way_analysis_of_variance():
    d = np.random.default_rng(1).normal(size=(4, 7)) + np.arange(4)[:, None]
    found = estimate(d, np.zeros_like(d), np.arange(4))
    table = pd.DataFrame([{"d": d[s, i], "seed": s, "image": i} for s in range(4) for i in range(7)])
    reference = anova_lm(ols("d ~ C(seed) + C(image)", table).fit())["mean_sq"]
    (seeds,) = found.seeds
    assert seeds.variance == pytest.approx(reference["C(seed)"] / 7, rel=1e-9)
    assert found.image_variance == pytest.approx(reference["C(image)"] / 4, rel=1e-9)
    assert seeds.residual == pytest.approx(reference["Residual"], rel=1e-9)


def test_without_variation_over_images_it_is_scipys_paired_t_over_seeds():
    a, b = np.random.default_rng(2).normal(size=(2, 5, 1)) + np.zeros((2, 5, 40))
    reference = stats.ttest_rel(a[:, 0], b[:, 0])
    found = score_difference(a, b)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval()), rel=1e-9)
    assert found.df == pytest.approx(4)
    assert estimate(a, b, np.arange(5)).p_value() == pytest.approx(reference.pvalue, rel=1e-9)


def test_without_variation_over_seeds_it_is_scipys_paired_t_over_images():
    a, b = np.random.default_rng(3).normal(size=(2, 1, 30)) + np.zeros((2, 4, 30))
    reference = stats.ttest_rel(a[0], b[0])
    found = score_difference(a, b)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval()), rel=1e-9)
    assert found.df == pytest.approx(29)


def test_unmatched_seeds_without_variation_over_images_are_scipys_welch():
    draw = np.random.default_rng(4)
    a, b = draw.normal(size=(5, 1)) + np.zeros((5, 9)), draw.normal(scale=3, size=(3, 1)) + np.zeros((3, 9))
    reference = stats.ttest_ind(a[:, 0], b[:, 0], equal_var=False)
    found = score_difference(a, b)
    assert (found.low, found.high) == pytest.approx(tuple(reference.confidence_interval()), rel=1e-9)
    assert found.df == pytest.approx(reference.df)


def test_rows_are_aligned_by_seed_whatever_their_order():
    expected = accuracy_difference(A, B, seeds_a=[7, 8, 9], seeds_b=[7, 8, 9])
    assert accuracy_difference(A, B[[2, 0, 1]], seeds_a=[7, 8, 9], seeds_b=[9, 7, 8]) == expected
    assert accuracy_difference(A, B) == expected  # neither list: by position


def test_lists_that_overlap_in_part_are_nested():
    nested = accuracy_difference(A, B, seeds_a=[0, 1, 2], seeds_b=[3, 4, 5])
    assert accuracy_difference(A, B, seeds_a=[0, 1, 2], seeds_b=[1, 2, 3]) == nested
    assert not nested.paired


def test_arms_of_different_sizes_without_seeds_are_nested():
    assert not accuracy_difference(A, B[:2]).paired


def test_swapping_the_arms_mirrors_the_interval():
    there, back = accuracy_difference(A, B[:2]), accuracy_difference(B[:2], A)
    assert (back.mean, back.low, back.high) == pytest.approx((-there.mean, -there.high, -there.low))


def test_zeros_and_ones_are_taken_for_bools():
    assert accuracy_difference(A.astype(int), B.astype(float)) == accuracy_difference(A, B)


@pytest.mark.parametrize(("a", "b"), [(A[:1], B[:1]), (A, B[:1]), (A[:, :1], B[:, :1])], ids=["1", "3 to 1", "image"])
def test_one_seed_or_one_image_has_a_difference_but_no_interval(a, b):
    found = accuracy_difference(a, b)
    assert found.mean == pytest.approx(a.mean() - b.mean())
    assert found.low is found.high is found.df is None


@pytest.mark.parametrize("winner", [0, 1], ids=["equal predictions", "opposite predictions"])
def test_where_nothing_varies_the_interval_is_agresti_mins(winner):
    a, b = np.ones((3, 50), dtype=bool), np.full((3, 50), not winner)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = accuracy_difference(a, b)
    assert found.mean == winner
    assert (found.low, found.high) == agresti_min(50 * winner, 0, 50)
    assert found.low <= found.mean <= found.high
    assert found.df == math.inf


def test_equal_scores_have_an_interval_without_width():
    found = score_difference(np.full((3, 5), 0.25), np.full((3, 5), 0.25))
    assert (found.mean, found.low, found.high) == (0, 0, 0)


@pytest.mark.parametrize(
    ("a", "b", "seeds", "says"),
    [
        (A, B[:, :5], (None, None), "same test images"),
        (A[0], B[0], (None, None), "shape"),
        (A[:0], B, (None, None), "shape"),
        (A + 1, B, (None, None), "besides 0 and 1"),
        (np.where(A, 1.0, math.nan), B, (None, None), "besides 0 and 1"),
        (np.full((3, 6), "x"), B, (None, None), "besides 0 and 1"),
        (A, B, ([0, 1], [0, 1, 2]), "2 for 3 rows"),
        (A, B, ([0, 1, 1], [0, 1, 2]), "seed 1 occurs twice"),
        (A, B, ([0, 1, 2], None), "both arms or of neither"),
    ],
)
def test_input_that_does_not_fit_is_refused(a, b, seeds, says):
    with pytest.raises(InputError, match=says):
        accuracy_difference(a, b, seeds_a=seeds[0], seeds_b=seeds[1])


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(InputError, match="finite"):
        score_difference(np.array([[0.1, math.nan]]), np.array([[0.1, 0.2]]))
    with pytest.raises(InputError, match="finite"):
        score_difference(np.array([[0.1, math.inf]]), np.array([[0.1, 0.2]]))
