from __future__ import annotations

import math

import numpy as np
import pytest
from mlxtend.evaluate import mcnemar as mlxtend_mcnemar
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from cvexp.errors import InputError
from cvexp.stats import agresti_min, mcnemar_midp

TABLES = [(1, 7), (6, 16), (0, 4), (12, 3), (40, 61), (300, 250)]
tables = pytest.mark.parametrize(("b", "c"), TABLES)


@tables
def test_mid_p_is_the_exact_p_of_others_less_the_probability_of_the_table(b, c):
    expected = stats.binomtest(b, b + c).pvalue - stats.binom.pmf(b, b + c, 0.5)
    assert mcnemar_midp(b, c) == pytest.approx(expected, rel=1e-9)
    table = np.array([[50, b], [c, 20]])
    assert statsmodels_mcnemar(table, exact=True).pvalue - stats.binom.pmf(b, b + c, 0.5) == pytest.approx(expected)
    _, exact = mlxtend_mcnemar(table, exact=True)
    assert exact - stats.binom.pmf(b, b + c, 0.5) == pytest.approx(expected)


def test_mid_p_of_published_tables():
    # Fagerland, Lydersen & Laake 2013, tables 1 and 2 of the article's examples
    assert mcnemar_midp(1, 7) == pytest.approx(0.0391, abs=5e-5)
    assert mcnemar_midp(6, 16) == pytest.approx(0.0347, abs=5e-5)


@pytest.mark.parametrize("n", [0, 1, 8])
def test_mid_p_is_1_where_both_win_equally_often(n):
    assert mcnemar_midp(n, n) == 1


@tables
def test_mid_p_does_not_depend_on_the_order(b, c):
    assert mcnemar_midp(b, c) == mcnemar_midp(c, b)


def test_agresti_min_is_walds_with_half_an_image_in_every_cell():
    both, only_a, only_b, neither = 50.5, 12.5, 3.5, 34.5
    n = both + only_a + only_b + neither
    p, q = only_a / n, only_b / n
    half = stats.norm.ppf(0.975) * math.sqrt((p + q - (p - q) ** 2) / n)
    assert agresti_min(12, 3, 99) == pytest.approx((p - q - half, p - q + half), rel=1e-12)


def test_agresti_min_has_width_without_disagreement_and_stays_within_bounds():
    low, high = agresti_min(0, 0, 100)
    assert (low, high) == pytest.approx((-1.96 / 102, 1.96 / 102), rel=1e-4)
    assert agresti_min(3, 0, 3)[1] == 1
    assert agresti_min(0, 3, 3)[0] == -1


@pytest.mark.parametrize(("b", "c", "n"), [(-1, 2, 10), (6, 5, 10)])
def test_counts_that_cannot_be_are_refused(b, c, n):
    with pytest.raises(InputError, match=r"b \+ c <= n"):
        agresti_min(b, c, n)


def test_negative_counts_are_refused():
    with pytest.raises(InputError, match="counts of images"):
        mcnemar_midp(-1, 2)
