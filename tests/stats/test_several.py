from __future__ import annotations

import math

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from cvexp.errors import InputError
from cvexp.stats import Arm, contenders, holm, pairwise_verdicts, verdict, verdict_text
from cvexp.stats.arms import arm_estimate
from cvexp.stats.planning import plan
from tests.stats.drawn import arm, correct


@pytest.mark.slow  # statsmodels takes seconds to import
@pytest.mark.parametrize(
    "p_values",
    [[0.01], [0.04, 0.01, 0.03], [0.5, 0.001, 0.02, 0.02, 0.9], np.random.default_rng(6).random(40) ** 3, [1.0, 0.0]],
)
def test_holm_is_statsmodels(p_values):
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1], rel=1e-12)


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx((0.03, 0.06, 0.06, 0.02))


def test_holm_of_nothing_is_nothing():
    assert holm([]) == ()


@pytest.mark.parametrize("p_values", [[math.nan], [1.1], [-0.1]])
def test_holm_refuses_what_is_no_probability(p_values):
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        holm(p_values)


def test_a_pair_alone_is_the_verdict_itself():
    a, b = arm("a", 0.90), arm("b", 0.85)
    (pair,) = pairwise_verdicts([a, b])
    alone = verdict(a.correct, b.correct, seeds_a=range(5), seeds_b=range(5))
    assert (pair.a, pair.b, pair.verdict.kind, pair.verdict.difference) == ("a", "b", "better", alone.difference)
    assert pair.verdict.p_adjusted == alone.p_value


def test_holm_withholds_a_difference_that_one_pair_alone_would_show():
    a, b = arm("a", 0.90), arm("barely", 0.8865)
    assert 0.01 < arm_estimate(a, b).p_value() < 0.05
    crowd = [arm(name, 0.89, sd=0.01) for name in ("c", "d", "e")]
    (pair,) = pairwise_verdicts([a, b])
    assert pair.verdict.kind == "better"
    among = pairwise_verdicts([a, b, *crowd])[0].verdict
    assert (among.kind, among.n_pairs) == ("cannot-tell", 10)
    assert among.p_adjusted > 0.05 > among.p_value
    assert among.difference == pair.verdict.difference
    assert among.n_seeds_needed == plan(arm_estimate(a, b), 0.005, level=0.05 / 10).n_seeds
    assert among.n_seeds_needed > plan(arm_estimate(a, b), 0.005).n_seeds
    assert "not shown among 10 pairs" in verdict_text(among, "a", "barely")


def test_pairs_come_in_the_order_of_the_arms():
    arms = [arm(name, 0.9, n_images=50) for name in "abc"]
    assert [(pair.a, pair.b) for pair in pairwise_verdicts(arms)] == [("a", "b"), ("a", "c"), ("b", "c")]


def test_single_runs_and_collapsed_recipes_are_no_part_of_the_family():
    lost = correct(0.9)
    lost[0] = False
    arms = [arm("a", 0.90), arm("b", 0.85), arm("single", 0.88, n=1), Arm(name="lost", correct=lost, seeds=range(5))]
    found = {(pair.a, pair.b): pair.verdict for pair in pairwise_verdicts(arms, n_classes=10)}
    assert (found["a", "b"].kind, found["a", "b"].n_pairs) == ("better", 1)
    assert found["a", "single"].kind == "these-two-only"
    assert found["a", "lost"].kind == found["single", "lost"].kind == "cannot-tell"
    assert found["a", "single"].p_adjusted is None


def test_contenders_drop_only_what_the_best_beats():
    arms = [arm("best", 0.90), arm("close", 0.899), arm("far", 0.85)]
    found = contenders(arms)
    assert (found.names, found.best, set(found.dropped)) == (("best", "close"), "best", {"far"})
    low, _ = arm_estimate(arms[0], arms[2]).limits(1 - 2 * 0.05 / 2)
    assert found.dropped["far"] == low > 0


def test_more_candidates_take_stronger_proof():
    best, second = arm("best", 0.90), arm("second", 0.888)
    assert contenders([best, second]).names == ("best",)
    crowd = [arm(f"poor {i}", 0.7) for i in range(40)]
    assert contenders([best, second, *crowd]).names == ("best", "second")


def test_recipes_without_a_verdict_are_never_dropped():
    lost = correct(0.9)
    lost[0] = False
    arms = [arm("best", 0.90), arm("two", 0.5, n=2), arm("one", 0.5, n=1), Arm(name="lost", correct=lost)]
    assert contenders(arms, n_classes=10).names == ("best", "two", "one", "lost")


def test_without_a_recipe_of_three_seeds_all_contend():
    found = contenders([arm("a", 0.9, n=1), arm("b", 0.5, n=1)])
    assert (found.names, found.best, found.dropped) == (("a", "b"), None, {})


def test_one_recipe_contends_alone():
    assert contenders([arm("a", 0.9, n_images=20)]).names == ("a",)


def test_names_have_to_differ():
    with pytest.raises(InputError, match="'a' twice"):
        pairwise_verdicts([arm("a", 0.9), arm("a", 0.8)])
    with pytest.raises(InputError, match="'a' twice"):
        contenders([arm("a", 0.9), arm("a", 0.8)])


def test_arms_with_different_images_are_refused():
    with pytest.raises(InputError, match="same test images"):
        pairwise_verdicts([arm("a", 0.9, n_images=50), arm("b", 0.9, n_images=51)])
