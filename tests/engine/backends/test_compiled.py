"""Compiled steps: eager ones within rounding, or declined with the compiler's own reason."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.engine.backends.choice import choose_runner
from cvexp.errors import ConfigError
from tests.engine.backends.test_backends import TakesBranches, model_of, source_of, state_of

ASKED = {"model": "linear", "batch_size": 32, "compile": True}


@pytest.mark.slow
@pytest.mark.parametrize("name", [pytest.param("linear", marks=pytest.mark.campaign), "regular"])
def test_compiled_steps_are_the_eager_ones_within_rounding(name):
    outcomes = []
    for compiled in (False, True):
        asked = ASKED if compiled else {**ASKED, "compile": False, "step": "eager"}
        state = state_of(model_of(name).eval() if name == "regular" else model_of(name))
        if name == "regular":
            state.model[4].p = 0.0  # a compiled dropout draws otherwise
        generator = torch.get_rng_state()
        before = [tensor.clone() for tensor in state.tensors()]
        runner = choose_runner(state, source_of(77), run_config(asked)).runner
        assert runner.name == ("compiled" if compiled else "eager")
        assert torch.equal(torch.get_rng_state(), generator)
        assert all(torch.equal(a, b) for a, b in zip(state.tensors(), before, strict=True))
        losses = torch.zeros(3)
        state.model.train()
        n_right = int(runner.run(torch.arange(77), losses, 0, 3))
        outcomes.append((n_right, [losses, *state.parameters]))
    assert outcomes[0][0] == outcomes[1][0]
    for ours, theirs in zip(outcomes[0][1], outcomes[1][1], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_what_the_compiler_cannot_do_is_said(monkeypatch):
    def no_compiler(*_arguments, **_keywords):
        def forward(_images):
            raise RuntimeError("\nNo working C++ compiler found")

        return forward

    monkeypatch.setattr(torch, "compile", no_compiler)
    state = state_of(model_of("linear"))
    with pytest.raises(ConfigError, match="--compile cannot be used: No working C") as refused:
        choose_runner(state, source_of(64), run_config(ASKED))
    assert refused.value.hints == ("leave it out",)
    assert state.forward is state.model


@pytest.mark.slow
def test_a_model_that_looks_at_values_is_compiled_in_parts():
    runner = choose_runner(state_of(TakesBranches()), source_of(64), run_config(ASKED)).runner
    assert 0 <= int(runner.run(torch.arange(64), torch.zeros(2), 0, 2)) <= 64
    assert isinstance(runner.state.model, nn.Module)
