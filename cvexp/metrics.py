"""Accuracy, precision, recall and F1, of classes and over them, from counts of true and predicted classes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cvexp.results import ClassMetrics, Evaluation, SplitMetrics

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


def confusion_counts(
    labels: npt.NDArray[np.int64], predictions: npt.NDArray[np.int64], *, n_classes: int
) -> npt.NDArray[np.int64]:
    """The confusion matrix, int64 (K, K), of int64 (N,) in [0, K); rows are true classes, columns predicted ones."""
    cells = np.bincount(labels * n_classes + predictions, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def per_class(confusion: npt.NDArray[np.int64], class_names: Sequence[str]) -> tuple[ClassMetrics, ...]:
    """Precision, recall, F1 and support of every class of a confusion matrix.

    0 / 0 counts as 0, as with scikit-learn's `zero_division=0`: a class was never predicted, or has no images.
    """
    hits = np.diag(confusion).astype(np.float64)
    predicted, support = confusion.sum(axis=0), confusion.sum(axis=1)
    precision = (hits / np.maximum(predicted, 1)).tolist()
    recall = (hits / np.maximum(support, 1)).tolist()
    f1 = (2 * hits / np.maximum(predicted + support, 1)).tolist()
    return tuple(
        ClassMetrics(name=name, precision=precision[k], recall=recall[k], f1=f1[k], support=int(support[k]))
        for k, name in enumerate(class_names)
    )


def class_means(confusion: npt.NDArray[np.int64], by_class: Sequence[ClassMetrics]) -> tuple[float, float]:
    """Balanced accuracy and macro F1 of a confusion matrix with at least one image, and its classes' figures.

    Balanced accuracy is the mean recall of the classes that have images; macro F1 is the mean F1 of those that have
    images or were predicted. So scikit-learn's `balanced_accuracy_score` and `f1_score(average="macro")` have them.
    """
    recalls = [one.recall for one in by_class if one.support]
    predicted = confusion.sum(axis=0)
    scores = [one.f1 for k, one in enumerate(by_class) if one.support or predicted[k]]
    return sum(recalls) / len(recalls), sum(scores) / len(scores)


def top_k_accuracy(logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], k: int) -> float:
    """The share of images whose label is among the k classes with the largest logits.

    Args:
        logits: float32 (K, N); of equal ones the class with the lower index comes first, and NaN comes before a label.
        labels: int64 (N,) in [0, K), N at least 1.
        k: From 1 to K.
    """
    own = np.take_along_axis(logits, labels[None], axis=0)
    earlier = np.arange(len(logits))[:, None] < labels
    ranks = (~(logits <= own)).sum(axis=0) + ((logits == own) & earlier).sum(axis=0)
    return float((ranks < k).mean())


def evaluation(
    *, loss_sum: float, labels: npt.NDArray[np.int64], predictions: npt.NDArray[np.int64], class_names: Sequence[str]
) -> Evaluation:
    """All metrics of one pass over a split.

    Args:
        loss_sum: Cross-entropy summed over the images, nats.
        labels: int64 (N,) in [0, K), N at least 1.
        predictions: int64 (N,) in [0, K).
        class_names: K of them, in label order.
    """
    counts = confusion_counts(labels, predictions, n_classes=len(class_names))
    n_images, by_class = len(labels), per_class(counts, class_names)
    balanced_accuracy, macro_f1 = class_means(counts, by_class)
    return Evaluation(
        metrics=SplitMetrics(
            loss=loss_sum / n_images,
            accuracy=int(np.trace(counts)) / n_images,
            n_images=n_images,
            balanced_accuracy=balanced_accuracy,
            macro_f1=macro_f1,
        ),
        per_class=by_class,
        confusion=counts,
        predictions=predictions,
    )
