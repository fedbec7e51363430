from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as reference
from torchmetrics.functional import classification

from cvexp.metrics import confusion_counts, evaluation, per_class, top_k_accuracy

NAMES = ("boot", "coat", "dress", "shirt", "bag")
K = len(NAMES)


def drawn(*, n=997, true=range(K), predicted=range(K)):
    draw = np.random.default_rng(8)
    labels = draw.choice(list(true), n)
    guesses = draw.choice(list(predicted), n)
    known = np.isin(labels, list(predicted)) & (draw.random(n) < 0.6)
    return labels, np.where(known, labels, guesses)


CASES = {
    "every class": drawn(),
    "a class never predicted": drawn(predicted=[0, 1, 2, 3]),
    "a class without images": drawn(true=[0, 2, 3, 4]),
    "a class neither there nor predicted": drawn(true=[0, 1, 3, 4], predicted=[0, 1, 3, 4]),
    "one class takes all": drawn(predicted=[2]),
    "one image": (np.array([3]), np.array([1])),
}
cases = pytest.mark.parametrize(("labels", "predictions"), CASES.values(), ids=CASES)


def columns(rows):
    return [np.array([getattr(row, name) for row in rows]) for name in ("precision", "recall", "f1", "support")]


@cases
def test_confusion_counts_are_scikit_learns(labels, predictions):
    counts = confusion_counts(labels, predictions, n_classes=K)
    assert counts.dtype == np.int64
    np.testing.assert_array_equal(counts, reference.confusion_matrix(labels, predictions, labels=range(K)))


@cases
def test_figures_per_class_are_scikit_learns(labels, predictions):
    rows = per_class(confusion_counts(labels, predictions, n_classes=K), NAMES)
    expected = reference.precision_recall_fscore_support(labels, predictions, labels=range(K), zero_division=0)
    assert [row.name for row in rows] == list(NAMES)
    for ours, theirs in zip(columns(rows), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=0)


@cases
def test_figures_are_torchmetrics_too(labels, predictions):
    result = evaluation(loss_sum=0.0, labels=labels, predictions=predictions, class_names=NAMES)
    pair = torch.from_numpy(predictions), torch.from_numpy(labels)
    precision, recall, f1, _ = columns(result.per_class)
    for ours, theirs in (
        (precision, classification.multiclass_precision(*pair, K, average="none")),
        (recall, classification.multiclass_recall(*pair, K, average="none")),
        (f1, classification.multiclass_f1_score(*pair, K, average="none")),
        (result.confusion, classification.multiclass_confusion_matrix(*pair, K)),
        (result.metrics.accuracy, classification.multiclass_accuracy(*pair, K, average="micro")),
    ):
        np.testing.assert_allclose(ours, theirs.numpy(), rtol=1e-6, atol=0)


@cases
@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")
def test_means_over_classes_are_scikit_learns_and_torchmetrics(labels, predictions):
    found = evaluation(loss_sum=0.0, labels=labels, predictions=predictions, class_names=NAMES).metrics
    assert found.balanced_accuracy == pytest.approx(reference.balanced_accuracy_score(labels, predictions), rel=1e-12)
    macro = reference.f1_score(labels, predictions, average="macro", zero_division=0)
    assert found.macro_f1 == pytest.approx(macro, rel=1e-12)
    pair = torch.from_numpy(predictions), torch.from_numpy(labels)
    theirs = classification.multiclass_f1_score(*pair, K, average="macro")
    assert found.macro_f1 == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize(("sizes", "is_imbalanced"), [((4, 5), False), ((4, 6), True), ((0, 1), True), ((3, 3), False)])
def test_a_split_is_imbalanced_where_a_class_has_half_as_many_images_again(sizes, is_imbalanced):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    found = evaluation(loss_sum=0.0, labels=labels, predictions=labels, class_names=NAMES[: len(sizes)])
    assert found.is_imbalanced == is_imbalanced


@pytest.mark.parametrize("case", ["a class never predicted", "a class without images", "one class takes all"])
def test_nothing_divided_by_nothing_is_zero_and_not_a_warning(case, recwarn):
    labels, predictions = CASES[case]
    rows = per_class(confusion_counts(labels, predictions, n_classes=K), NAMES)
    empty = [row for row in rows if row.support == 0 or not np.any(predictions == NAMES.index(row.name))]
    assert empty
    assert all((row.f1, row.precision * row.recall) == (0, 0) for row in empty)
    assert not recwarn.list


def test_rows_are_true_classes_and_columns_predicted_ones():
    counts = confusion_counts(np.array([0, 0, 1]), np.array([2, 2, 1]), n_classes=3)
    assert counts.tolist() == [[0, 0, 2], [0, 1, 0], [0, 0, 0]]


def test_every_image_counts_once_in_loss_and_accuracy():
    labels, predictions = CASES["every class"]
    result = evaluation(loss_sum=498.5, labels=labels, predictions=predictions, class_names=NAMES)
    assert result.metrics.n_images == 997
    assert result.metrics.loss == 0.5
    assert result.metrics.accuracy == np.mean(labels == predictions)
    assert result.confusion.sum() == sum(row.support for row in result.per_class) == 997
    np.testing.assert_array_equal(result.predictions, predictions)


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_accuracy_is_scikit_learns_and_torchmetrics(k):
    draw = np.random.default_rng(3)
    logits, labels = draw.standard_normal((997, K)).astype(np.float32), draw.integers(0, K, 997)
    found = top_k_accuracy(logits.T, labels, k)
    assert found == pytest.approx(reference.top_k_accuracy_score(labels, logits, k=k, labels=range(K)))
    theirs = classification.multiclass_accuracy(
        torch.from_numpy(logits), torch.from_numpy(labels), num_classes=K, top_k=k, average="micro"
    )
    assert found == pytest.approx(float(theirs))


def test_equal_logits_rank_by_class_and_logits_that_are_not_a_number_are_no_hit():
    labels = np.array([0, 1, 2])
    assert top_k_accuracy(np.zeros((3, 3), dtype=np.float32), labels, 2) == pytest.approx(2 / 3)
    assert top_k_accuracy(np.full((3, 3), np.nan, dtype=np.float32), labels, 3) == 0
