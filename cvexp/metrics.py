"""Accuracy, precision, recall and F1 from counts of true and predicted classes."""

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
    """The confusion matrix, in one bincount.

    Args:
        labels: int64 (N,) in [0, K).
        predictions: int64 (N,) in [0, K).
        n_classes: K.

    Returns:
        int64 (K, K); rows are true classes, columns predicted ones.
    """
    cells = np.bincount(labels * n_classes + predictions, minlength=n_classes * n_classes)
    return cells.reshape(n_classes, n_classes).astype(np.int64)


def per_class(confusion: npt.NDArray[np.int64], class_names: Sequence[str]) -> tuple[ClassMetrics, ...]:
    """Precision, recall, F1 and support of every class.

    A class that was never predicted, or has no images, gets 0 where the figure would be 0 / 0, as
    scikit-learn's `zero_division=0` does.

    Args:
        confusion: int64 (K, K), rows are true classes.
        class_names: K of them, in label order.
    """
    hits = np.diag(confusion).astype(np.float64)
    predicted = confusion.sum(axis=0)
    support = confusion.sum(axis=1)
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(support, 1)
    f1 = 2 * hits / np.maximum(predicted + support, 1)
    return tuple(
        ClassMetrics(
            name=name, precision=float(precision[k]), recall=float(recall[k]), f1=float(f1[k]), support=int(support[k])
        )
        for k, name in enumerate(class_names)
    )


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
    n_images = len(labels)
    return Evaluation(
        metrics=SplitMetrics(loss=loss_sum / n_images, accuracy=int(np.trace(counts)) / n_images, n_images=n_images),
        per_class=per_class(counts, class_names),
        confusion=counts,
        predictions=predictions,
    )
