from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch

from cvexp.engine.lr_range import DIVERGED, FIRST, N_STEPS, range_test, smoothed, suggestion
from tests.engine.backends.test_backends import model_of, source_of, state_of


def test_the_test_ends_once_the_loss_diverges():
    rates, losses = range_test(state_of(model_of("linear")), source_of(203), images_per_step=32, seed=1)
    assert len(rates) == len(losses) < N_STEPS
    assert not smoothed(losses)[-1] <= DIVERGED * min(smoothed(losses)[:-1])


@pytest.mark.slow
def test_rates_grow_and_nothing_changes():
    state = state_of(model_of("regular"), "adam")
    tensors, generator = [tensor.clone() for tensor in state.tensors()], torch.get_rng_state()
    others = random.getstate(), np.random.get_state()[1].tolist()  # noqa: NPY002 - the process's own
    rates, losses = range_test(state, source_of(203), images_per_step=32, seed=1)
    assert len(rates) == len(losses) <= N_STEPS
    assert rates[0] == FIRST
    assert all(b / a == pytest.approx(rates[1] / rates[0]) for a, b in itertools.pairwise(rates))
    assert all(torch.equal(a, b) for a, b in zip(state.tensors(), tensors, strict=True))
    assert (state.lr.item(), state.n_taken) == (0.1, 0)
    assert torch.equal(torch.get_rng_state(), generator)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == others  # noqa: NPY002 - likewise
    assert (rates, losses) == range_test(state, source_of(203), images_per_step=32, seed=1)


def test_the_suggestion_is_a_tenth_of_the_rate_with_the_lowest_loss():
    rates = [10.0 ** (n / 4 - 5) for n in range(24)]
    falling = [2.0] * 12 + [1.5, 1.0, 0.5, 0.2, 0.1, 0.1, 0.1, 0.1, 4.0, 9.0, float("inf"), float("nan")]
    assert suggestion(rates, falling) == pytest.approx(rates[19] / 10, rel=0.05)
    assert suggestion(rates, [2.0] * 10 + [1.95] * 14) is None
    assert suggestion(rates[:4], [2.0, 0.1, 0.1, 0.1]) is None


def test_a_smoothed_constant_is_that_constant():
    assert smoothed([3.0] * 5) == pytest.approx([3.0] * 5)
