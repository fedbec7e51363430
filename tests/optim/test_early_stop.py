from __future__ import annotations

import math

import pytest

from cvexp.optim.early_stop import best_of, is_better, out_of_patience
from cvexp.results import SplitMetrics


def epochs(*accuracies, losses=None):
    losses = losses or [1.0] * len(accuracies)
    return [SplitMetrics(loss=b, accuracy=a, n_images=10) for a, b in zip(accuracies, losses, strict=True)]


PLANTED = epochs(0.2, 0.5, 0.4, 0.5, 0.6, 0.6, 0.55, 0.59, 0.6)
"""Better after epochs 1, 2 and 5."""


@pytest.mark.parametrize(("patience", "ends_after"), [(1, 3), (2, 4), (3, 8), (4, 9), (5, None)])
def test_training_stops_once_so_many_epochs_were_no_better(patience, ends_after):
    ended = [n for n in range(len(PLANTED) + 1) if out_of_patience(PLANTED[:n], patience)]
    assert (ended[0] if ended else None) == ends_after


def test_the_best_epoch_is_the_first_of_equals():
    assert best_of(PLANTED) == 4
    assert best_of(epochs(0.5, 0.5, losses=[1.0, 0.9])) == 1


def test_a_lower_loss_counts_at_one_accuracy_only():
    first, second, third = epochs(0.5, 0.5, 0.4, losses=[1.0, 0.9, 0.1])
    assert is_better(second, first)
    assert not is_better(first, second)
    assert not is_better(third, first)
    assert not is_better(first, first)


def test_a_loss_that_is_no_number_is_the_worst():
    nan, number = epochs(0.5, 0.5, losses=[math.nan, 9.0])
    assert is_better(number, nan)
    assert not is_better(nan, number)
