from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.special import log_softmax, softmax
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss

from cvexp.errors import RunError
from cvexp.image_records import check_same_images, from_logits, order_digest


def test_scores_are_scikit_learns(digits, records):
    logits, labels, _ = digits
    probabilities = softmax(logits.T.astype(np.float64), axis=1)
    assert records.correct.mean() == accuracy_score(labels, logits.argmax(axis=0))
    assert records.log_loss.mean() == pytest.approx(log_loss(labels, probabilities), abs=1e-5)
    assert records.brier.mean() == pytest.approx(brier_score_loss(labels, probabilities, labels=range(10)), abs=1e-5)
    assert records.confidence == pytest.approx(probabilities.max(axis=1), rel=2e-3)


def test_rounding_to_float16_moves_the_mean_log_loss_less_than_seeds_or_images_do(digits, records):
    logits, labels, _ = digits
    exact = -log_softmax(logits.astype(np.float64), axis=0)[labels, np.arange(len(labels))]
    assert np.abs(records.log_loss - exact).max() <= 2.0**-11 * exact.max()
    assert abs(records.log_loss.mean() - exact.mean()) < 5e-6
    assert records.log_loss.dtype == np.float64


def test_the_predicted_class_is_kept_where_rounding_makes_two_classes_tie(about):
    logits = np.zeros((10, 1), dtype=np.float32)
    logits[7] = 1e-6
    found = from_logits(logits, np.array([3]), logits.argmax(axis=0), about)
    assert found.log_probabilities[0].argmax() == 0
    assert found.predicted.tolist() == [7]
    assert not found.correct[0]


def test_with_many_classes_the_likeliest_five_and_the_label_are_kept(records_of_many_classes):
    found, logits = records_of_many_classes
    logs = log_softmax(logits.T.astype(np.float64), axis=1)
    assert found.log_probabilities is None
    assert np.array_equal(found.top_classes, np.argsort(-logs, axis=1, kind="stable")[:, :5])
    assert found.top_log_probabilities == pytest.approx(-np.sort(-logs, axis=1)[:, :5], rel=2.0**-11)
    assert found.log_loss == pytest.approx(-logs[np.arange(len(logs)), found.labels], rel=2.0**-11)
    truth = np.eye(30)[found.labels]
    assert found.brier == pytest.approx(np.square(np.exp(logs) - truth).sum(axis=1), abs=1e-6)
    assert found.confidence == pytest.approx(np.exp(logs.max(axis=1)), rel=2e-3)


def test_a_class_without_any_probability_and_logits_that_are_not_finite(about):
    logits = np.zeros((10, 3), dtype=np.float32)
    logits[:, 0] = np.array([1e6, *[0] * 9])
    logits[2, 1] = np.nan
    logits[2, 2] = np.inf
    found = from_logits(logits, np.array([4, 4, 4]), np.array([0, 2, 2]), about)
    assert found.log_loss[0] == 65504
    assert found.brier[0] == 2
    assert np.isnan(found.log_loss[1:]).all()
    assert np.isnan(found.confidence[1:]).all()


def test_the_order_digest_knows_images_labels_and_order(digits):
    _, labels, images = digits
    known = order_digest(images, labels)
    assert order_digest(images.copy(), labels.astype(np.int32)) == known
    same_class = np.flatnonzero(labels == 0)[:2]
    swapped = np.arange(len(labels))
    swapped[same_class] = same_class[::-1]
    assert order_digest(images[swapped], labels[swapped]) != known
    assert order_digest(images, (labels + 1) % 10) != known
    assert order_digest(images[:-1], labels[:-1]) != known


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"data_digest": "f" * 16}, "different datasets: 0123456789abcdef and ffffffffffffffff"),
        ({"split": "val"}, "different splits: test and val"),
        ({"order_digest": "f" * 64}, "other test images, or in another order"),
        ({"order_digest": "f" * 64, "split_seed": 7}, r"another order \(split seeds 42 and 7\)"),
        ({"n_classes": 11}, "different numbers of classes: 10 and 11"),
    ],
)
def test_records_of_other_images_are_not_joined(changed, named, records):
    other = replace(records, about=replace(records.about, **changed))
    with pytest.raises(RunError, match=named):
        check_same_images(records, other)


def test_records_of_the_same_images_are_joined_whatever_seed_chose_them(records):
    check_same_images(records, replace(records, about=replace(records.about, split_seed=7)))


def test_records_whose_labels_differ_are_not_joined(records):
    with pytest.raises(RunError, match="other test images"):
        check_same_images(records, replace(records, labels=records.labels[::-1].copy()))
