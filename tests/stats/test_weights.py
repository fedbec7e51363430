"""Arms whose images count differently: with the weights of classes the accuracy is the balanced one."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score

from cvexp.errors import InputError
from cvexp.stats import Arm, agresti_min, arms_verdict, class_weights, contenders, pairwise_verdicts
from cvexp.stats.arms import arm_estimate
from tests.stats.drawn import correct

LABELS = np.repeat(np.arange(4), [300, 60, 30, 10])


def arm(name, accuracy, *, n=3, labels=LABELS, weights=True):
    drawn = correct(accuracy, n=n, n_images=len(labels), seed=sum(map(ord, name)))
    return Arm(name=name, correct=drawn, weights=class_weights(labels) if weights else None, seeds=range(n))


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true", "ignore:A single label was found")
@pytest.mark.parametrize("labels", [LABELS, np.array([0, 2, 2, 5]), np.zeros(3, np.int64)])
def test_the_mean_of_an_arm_is_scikit_learns_balanced_accuracy(labels):
    weights = class_weights(labels)
    assert weights.mean() == pytest.approx(1)
    found = arm("a", 0.7, labels=labels)
    for row, accuracy in zip(found.correct, found.per_seed, strict=True):
        predicted = np.where(row, labels, labels + 1)
        assert accuracy == pytest.approx(balanced_accuracy_score(labels, predicted), rel=1e-12)


def test_images_that_count_the_same_have_the_intervals_of_no_weights():
    ones = np.ones(len(LABELS))
    plain = [arm(name, x, weights=False) for name, x in (("a", 0.8), ("b", 0.7))]
    weighted = [Arm(name=one.name, correct=one.correct, weights=ones, seeds=one.seeds) for one in plain]
    expected, found = arm_estimate(*plain), arm_estimate(*weighted)
    assert found.limits() == pytest.approx(expected.limits(), rel=1e-12)
    assert found.p_value() == pytest.approx(expected.p_value(), rel=1e-12)
    assert arms_verdict(*weighted).kind == arms_verdict(*plain).kind == "better"


def test_a_recipe_that_gives_up_a_small_class_loses_by_balanced_accuracy_alone():
    """It is better on the largest class, and never finds the smallest two."""
    draw = np.random.default_rng(3)
    chances = {"gives up": np.array([0.99, 0.9, 0.0, 0.0]), "finds all": np.array([0.9, 0.85, 0.8, 0.8])}
    by_name = {name: draw.random((5, len(LABELS))) < chance[LABELS] for name, chance in chances.items()}

    def arms(weights):
        return [Arm(name=name, correct=one, weights=weights, seeds=range(5)) for name, one in by_name.items()]

    weighted, plain = arms(class_weights(LABELS)), arms(None)
    (found,) = pairwise_verdicts(weighted)
    assert found.verdict.kind == "worse"
    assert found.verdict.difference.mean == pytest.approx(-0.36, abs=0.08)
    assert contenders(weighted).names == ("finds all",)
    assert pairwise_verdicts(plain)[0].verdict.kind != "worse"
    (single,) = pairwise_verdicts([Arm(name=a.name, correct=a.correct[:1], weights=a.weights) for a in weighted])
    assert single.verdict.kind == "these-two-only"
    assert single.verdict.difference.high < 0
    assert single.verdict.p_value < 0.05


@pytest.mark.parametrize("n", [1, 3])
def test_equal_answers_leave_the_doubt_of_as_many_images_as_say_as_much(n):
    one = arm("a", 0.8, n=n)
    other = Arm(name="b", correct=one.correct, weights=one.weights, seeds=one.seeds)
    weights = one.weights
    alike = int(weights.sum() ** 2 / (weights**2).sum())
    assert alike < len(LABELS) / 3
    found = arms_verdict(one, other).difference
    assert (found.low, found.high) == pytest.approx(agresti_min(0, 0, alike))
    assert found.n_images == len(LABELS)


def test_one_image_has_no_interval_about_recipes():
    ones = [Arm(name=name, correct=np.ones((2, 1), bool), weights=np.ones(1), seeds=(1, 2)) for name in "ab"]
    assert arm_estimate(*ones) is None
    single = [Arm(name=name, correct=np.ones((1, 1), bool), weights=np.ones(1)) for name in "ab"]
    assert arms_verdict(*single).difference.low < 0 < arms_verdict(*single).difference.high


@pytest.mark.parametrize("weights", [np.ones(3), np.full(400, 2.0), -np.ones(400), np.full(400, np.nan)])
def test_weights_that_do_not_fit_are_refused(weights):
    with pytest.raises(InputError, match="400 weights of images"):
        Arm(name="a", correct=np.ones((2, 400), bool), weights=weights)


def test_arms_whose_images_count_differently_are_not_compared():
    for other in (arm("b", 0.7, weights=False), Arm(name="b", correct=arm("b", 0.7).correct, weights=np.ones(400))):
        with pytest.raises(InputError, match="the same weights"):
            arms_verdict(arm("a", 0.8), other)
        with pytest.raises(InputError, match="the same weights"):
            arms_verdict(arm("a", 0.8, n=1), other)
