"""Each update rule against torch.optim's: the same bits, whatever has a gradient."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.engine.state import TrainState
from cvexp.errors import ConfigError
from cvexp.optim.rules import RULES, rule_for

TORCH = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
LR = 0.05


OPTIONS = {
    "sgd": [
        {},
        {"momentum": 0.9},
        {"momentum": 0.8, "nesterov": True},
        {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01},
        {"weight_decay": 0.1},
    ],
    "adam": [{}, {"weight_decay": 0.01}, {"beta1": 0.8, "beta2": 0.99, "eps": 1e-4}],
    "adamw": [{}, {"weight_decay": 0.2}, {"weight_decay": 0.0}, {"beta1": 0.5, "beta2": 0.9, "eps": 1e-3}],
}
EVERY = [(name, options) for name, choices in OPTIONS.items() for options in choices]


def of_torch(optimizer, parameters, options):
    given = dict(options)
    betas = (given.pop("beta1", 0.9), given.pop("beta2", 0.999))
    return TORCH[optimizer](parameters, lr=LR, **given, **({} if optimizer == "sgd" else {"betas": betas}))


def state_of(model, optimizer, **settings):
    return TrainState(model, rule_for(run_config({"model": "linear", "optimizer": optimizer, **settings})), lr=LR)


def pair():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 7), nn.Conv2d(1, 2, 3).to(memory_format=torch.channels_last))
    other = nn.Sequential(nn.Linear(5, 3), nn.Linear(3, 7), nn.Conv2d(1, 2, 3))
    other.load_state_dict(model.state_dict())
    return model, other


def draw_gradients(parameters, missing=None):
    for index, (ours, theirs) in enumerate(parameters):
        ours.grad = None if index == missing else torch.randn_like(ours)
        theirs.grad = None if ours.grad is None else ours.grad.clone()


def steps(state, other, reference, missing=(None,) * 6):
    pairs = list(zip(state.parameters, other.parameters(), strict=True))
    for one in missing:
        draw_gradients(pairs, one)
        with torch.no_grad():
            state.update()
        reference.step()
        assert all(torch.equal(ours, theirs) for ours, theirs in pairs)


def test_there_is_a_rule_of_torchs_for_each():
    assert RULES.keys() == TORCH.keys()


@pytest.mark.parametrize("missing", [(None,) * 6, (None, 1, 0, None, 1, None)])
@pytest.mark.parametrize(("optimizer", "options"), EVERY)
def test_the_rules_are_torchs_own(optimizer, options, missing):
    model, other = pair()
    steps(state_of(model, optimizer, **options), other, of_torch(optimizer, other.parameters(), options), missing)


@pytest.mark.parametrize(("optimizer", "options"), EVERY)
def test_coefficients_in_tensors_give_the_same_within_rounding(optimizer, options):
    """As a CUDA graph has them."""
    model, other = pair()
    ours, theirs = state_of(model, optimizer, **options), state_of(other, optimizer, **options)
    lr = torch.tensor(LR, dtype=torch.float64)
    for n in range(1, 5):
        draw_gradients(list(zip(ours.parameters, theirs.parameters, strict=True)))
        numbers = ours.rule.coefficients(lr, torch.tensor(float(n), dtype=torch.float64))
        with torch.no_grad():
            ours.update([torch.as_tensor(number).float() for number in numbers])
            theirs.update()
        for a, b in zip(ours.parameters, theirs.parameters, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("optimizer", "options"), EVERY)
def test_a_state_that_was_stored_goes_on_to_the_same_bits(optimizer, options):
    model, other = pair()
    state = state_of(model, optimizer, **options)
    reference = of_torch(optimizer, other.parameters(), options)
    steps(state, other, reference, (None, 1))
    again = state_of(pair()[0], optimizer, **options)
    again.load_state_dict(state.state_dict())
    steps(again, other, reference)


def test_a_state_of_another_model_or_rule_is_refused_and_changes_nothing():
    state = state_of(pair()[0], "adam")
    before = [tensor.clone() for tensor in state.tensors()]
    stored = state_of(nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 7), nn.Conv2d(1, 2, 3)), "adam").state_dict()
    with pytest.raises(ValueError, match="another model"):
        state.load_state_dict(stored)
    with pytest.raises(ValueError, match="another model"):
        state.load_state_dict(state_of(pair()[0], "sgd").state_dict())
    assert all(torch.equal(a, b) for a, b in zip(state.tensors(), before, strict=True))


def test_frozen_parameters_stay_and_take_no_memory():
    model, _ = pair()
    model[0].requires_grad_(requires_grad=False)
    state = state_of(model, "adam")
    assert [tensor.numel() for tensor in state.slots["exp_avg"]][:2] == [0, 0]
    before = [p.clone() for p in model[0].parameters()]
    for parameter in list(model.parameters())[2:]:
        parameter.grad = torch.ones_like(parameter)
    with torch.no_grad():
        state.update()
    assert all(torch.equal(a, b) for a, b in zip(model[0].parameters(), before, strict=True))
    assert state.n_steps == [0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"optimizer": "adam", "momentum": 0.9}, "--momentum 0.9: adam has no such option"),
        ({"optimizer": "adamw", "momentum": 0.9, "nesterov": True}, "--momentum 0.9: adamw has no such option"),
        ({"nesterov": True}, "--nesterov true: it needs --momentum"),
        ({"beta1": 0.5}, "--beta1 0.5: sgd has no such option"),
        ({"momentum": 1.0}, "--momentum 1.0: input should be less than 1"),
        ({"weight_decay": -1}, "--weight-decay -1: input should be greater than or equal to 0"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(settings, complaint):
    with pytest.raises(ConfigError) as refused:
        run_config({"model": "linear", **settings})
    assert refused.value.what == complaint
