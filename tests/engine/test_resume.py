"""Training that is taken up from a state, wherever it was taken, ends with the bits of one that was never left."""

from __future__ import annotations

import io

import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.device import choose, seed_everything
from cvexp.engine.fit import Fit
from cvexp.errors import TrainingError, WeightsError
from cvexp.models.registry import build, find_entry
from tests.engine.noise import SHAPE, Left, noise_dataset

DATA = noise_dataset(150, 1200)


def model_of(name):
    seed_everything(42)
    if name == "regular":  # draws in every step, and keeps statistics, one of them in no state_dict
        model = nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Dropout(0.4), nn.Linear(108, 3)
        )
        model.register_buffer("unsaved", torch.zeros(1), persistent=False)
        return model
    return build(find_entry(name), image_shape=SHAPE, n_classes=3, hidden_units=4, model_args={})


def fit_of(name, step, optimizer, callback=None, **settings):
    model = model_of(name)
    asked = {"model": "linear", "epochs": 3, "batch_size": 32, "step": step, "optimizer": optimizer, **settings}
    return model, Fit(model, DATA, config=run_config(asked), device=choose("cpu"), callback=callback)


def outcome(model, fit, history):
    figures = [(e.step_losses.tolist(), e.train, e.held_out.metrics, e.held_out.confusion.tolist()) for e in history]
    state = fit.state()
    moments = [tensor for slots in state["state"]["slots"].values() for tensor in slots]
    return figures, [*model.state_dict().values(), *moments, torch.get_rng_state(), state["generators"]["cpu"]]


def stored(state):
    """What a file gives back."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)


@pytest.fixture(autouse=True)
def _many_calls(monkeypatch):
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 1e-6)  # one step a call


@pytest.mark.parametrize(
    "optimizer", ["sgd", pytest.param("adam", marks=pytest.mark.slow), pytest.param("adamw", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("step", ["eager", "captured"])
@pytest.mark.parametrize("name", ["linear", "mlp", "tinyvgg", "regular"])
def test_a_training_that_is_left_anywhere_goes_on_to_the_same_bits(name, step, optimizer):
    model, fit = fit_of(name, step, optimizer)
    expected = outcome(model, fit, list(fit))
    # Three epochs of five steps and at least one pause of the evaluation: some of every kind.
    for leave_at in (1, 4, 5, 6, 7, 9, 13, 17, 18):
        history = []
        pauses = iter(range(1, 100))

        def callback(_progress, pauses=pauses, leave_at=leave_at):
            if next(pauses) == leave_at:
                raise Left

        _, fit = fit_of(name, step, optimizer, callback)
        with pytest.raises(Left):  # noqa: PT012 - what was yielded before it is part of the test
            for epoch in fit:
                history.append(epoch)  # noqa: PERF402 - what was yielded before the end stays
        state = stored(fit.state())
        torch.rand(7)  # whatever else the process draws
        model, fit = fit_of(name, step, optimizer)
        fit.load_state(state)
        found = outcome(model, fit, [*history, *fit])
        assert found[0] == expected[0], leave_at
        assert all(torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True)), leave_at


@pytest.mark.parametrize("step", ["eager", "captured"])
def test_a_training_that_is_left_between_epochs_goes_on_to_the_same_bits(step):
    model, fit = fit_of("regular", step, "adam")
    expected = outcome(model, fit, list(fit))
    for n_epochs in (1, 2, 3):
        _, fit = fit_of("regular", step, "adam")
        history = []
        for epoch in fit:
            history.append(epoch)
            if len(history) == n_epochs:
                break
        state = stored(fit.state())
        model, fit = fit_of("regular", step, "adam")
        fit.load_state(state)
        found = outcome(model, fit, [*history, *fit])
        assert found[0] == expected[0]
        assert all(torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True))


def test_a_state_taken_with_one_step_runner_serves_another():
    model, fit = fit_of("tinyvgg", "eager", "adam")
    expected = outcome(model, fit, list(fit))
    _, fit = fit_of("tinyvgg", "eager", "adam")
    first = next(iter(fit))
    state = stored(fit.state())
    model, fit = fit_of("tinyvgg", "captured", "adam")
    fit.load_state(state)
    found = outcome(model, fit, [first, *fit])
    assert found[0] == expected[0]


def test_a_state_is_a_copy():
    model, fit = fit_of("linear", "captured", "adam")
    epochs = iter(fit)
    next(epochs)
    state = fit.state()
    before = [tensor.clone() for tensor in state["state"]["model"].values()]
    next(epochs)
    assert all(torch.equal(a, b) for a, b in zip(state["state"]["model"].values(), before, strict=True))
    assert not torch.equal(next(iter(model.state_dict().values())), before[0])


def test_a_state_of_another_model_is_refused_and_changes_nothing():
    _, other = fit_of("mlp", "eager", "sgd")
    model, fit = fit_of("tinyvgg", "eager", "sgd")
    before = [tensor.clone() for tensor in model.state_dict().values()]
    with pytest.raises(WeightsError, match="does not fit"):
        fit.load_state(other.state())
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), before, strict=True))


def test_a_loss_that_is_no_number_names_its_step():
    _, fit = fit_of("linear", "captured", "sgd", lr=1e30)
    with pytest.raises(TrainingError, match=r"the training loss is (nan|inf) at epoch 1, step \d of 5"):
        list(fit)
    _, fit = fit_of("linear", "captured", "sgd", lr=1e30, allow_nan=True)
    assert len(list(fit)) == 3
