"""Successive halving."""

from __future__ import annotations

import math
from fractions import Fraction

from cvexp.config.sweep import Pruning
from cvexp.sweep.halving import Halving

THIRD = Pruning(min_epochs=1, keep=Fraction(1, 3))


def test_the_best_third_of_those_that_came_so_far_goes_on():
    halving = Halving(THIRD)
    losses = [0.9, 0.8, 1.0, 0.95, 0.7, 0.75, 0.6]
    stopped = [halving.stops(str(n), 1, loss, n_epochs=9) for n, loss in enumerate(losses)]
    # The first is the best of one; of three one is kept; of six two.
    assert stopped == [False, False, True, True, False, False, False]


def test_between_rungs_and_after_the_last_epoch_nothing_is_stopped():
    halving = Halving(THIRD)
    assert not halving.stops("a", 3, 0.1, n_epochs=9)
    assert not halving.stops("b", 2, 9.0, n_epochs=9)
    assert halving.stops("b", 3, 9.0, n_epochs=9)
    assert not halving.stops("b", 9, 9.0, n_epochs=9)


def test_a_loss_that_is_not_a_number_is_the_worst():
    halving = Halving(THIRD)
    assert not halving.stops("a", 1, math.nan, n_epochs=9)
    assert not halving.stops("b", 1, 5.0, n_epochs=9)
    assert halving.stops("c", 1, math.nan, n_epochs=9)


def test_what_earlier_starts_saw_counts_and_a_resumed_trial_counts_once():
    halving = Halving(THIRD)
    halving.seen("a", {1: 0.5, 2: 0.4, 3: 0.3}, n_epochs=9)
    assert halving.stops("b", 1, 0.6, n_epochs=9)
    for _ in range(5):
        assert not halving.stops("a", 1, 0.5, n_epochs=9)
    assert not halving.stops("c", 1, 0.4, n_epochs=9), "one of three is kept, and it is the best"
