from __future__ import annotations

import math

import pytest

from cvexp.optim.early_stop import best_of, is_better, out_of_patience
from cvexp.results import SplitMetrics

ACCURACY = "accuracy"


def epochs(*accuracies, losses=None):
    losses = losses or [1.0] * len(accuracies)
    return [SplitMetrics(loss=b, accuracy=a, n_images=10) for a, b in zip(accuracies, losses, strict=True)]


PLANTED = epochs(0.2, 0.5, 0.4, 0.5, 0.6, 0.6, 0.55, 0.59, 0.6)
"""Better after epochs 1, 2 and 5."""


@pytest.mark.parametrize(("patience", "ends_after"), [(1, 3), (2, 4), (3, 8), (4, 9), (5, None)])
def test_training_stops_once_so_many_epochs_were_no_better(patience, ends_after):
    ended = [n for n in range(len(PLANTED) + 1) if out_of_patience(PLANTED[:n], patience, ACCURACY)]
    assert (ended[0] if ended else None) == ends_after


def test_the_best_epoch_is_the_first_of_equals():
    assert best_of(PLANTED, ACCURACY) == 4
    assert best_of(epochs(0.5, 0.5, losses=[1.0, 0.9]), ACCURACY) == 1


def test_a_lower_loss_counts_at_one_accuracy_only():
    first, second, third = epochs(0.5, 0.5, 0.4, losses=[1.0, 0.9, 0.1])
    assert is_better(second, first, ACCURACY)
    assert not is_better(first, second, ACCURACY)
    assert not is_better(third, first, ACCURACY)
    assert not is_better(first, first, ACCURACY)


def test_a_loss_that_is_no_number_is_the_worst():
    nan, number = epochs(0.5, 0.5, losses=[math.nan, 9.0])
    assert is_better(number, nan, ACCURACY)
    assert not is_better(nan, number, ACCURACY)


@pytest.mark.parametrize(("monitor", "best"), [("accuracy", 0), ("balanced-accuracy", 1), ("macro-f1", 2)])
def test_the_figure_that_is_monitored_decides(monitor, best):
    figures = [(0.9, 0.5, 0.5), (0.8, 0.9, 0.6), (0.7, 0.7, 0.7)]
    history = [SplitMetrics(loss=1.0, accuracy=a, n_images=10, balanced_accuracy=b, macro_f1=c) for a, b, c in figures]
    assert best_of(history, monitor) == best
    assert all(is_better(history[best], other, monitor) for other in history if other is not history[best])
    assert out_of_patience(history, 2 - best, monitor)
    assert not out_of_patience(history, 3 - best, monitor)
