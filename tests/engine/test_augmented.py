"""Training on augmented images: the same in every step runner, and after it was left and taken up again."""

from __future__ import annotations

import pytest
import torch

from cvexp.config import run_config
from cvexp.data.augment.source import MIXINGS, POLICIES
from cvexp.device import choose, seed_everything
from cvexp.engine.assembly import choose_step
from cvexp.engine.fit import Fit
from cvexp.errors import ConfigError
from cvexp.models.registry import build, find_entry
from tests.engine.noise import SHAPE, Left, noise_dataset

N = 75
PRESETS = (*POLICIES, *MIXINGS)


DATA = noise_dataset(N, 40)


def fit_of(augment, *, callback=None, step="eager", **settings):
    seed_everything(42)
    model = build(find_entry("tinyvgg"), image_shape=SHAPE, n_classes=3, hidden_units=4, model_args={})
    asked = {"model": "tinyvgg", "epochs": 2, "batch_size": 16, "optimizer": "adam", "augment": augment, "step": step}
    config = run_config({**asked, **settings})
    return model, Fit(model, DATA, config=config, device=choose("cpu"), callback=callback)


def outcome(model, history):
    figures = [(epoch.step_losses.tolist(), epoch.train, epoch.held_out.metrics) for epoch in history]
    return figures, [tensor.clone() for tensor in model.state_dict().values()]


def assert_equal(found, expected):
    assert found[0] == expected[0]
    assert all(torch.equal(a, b) for a, b in zip(found[1], expected[1], strict=True))


@pytest.fixture(autouse=True)
def _many_calls(monkeypatch):
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 1e-6)  # one step a call


@pytest.mark.parametrize("augment", PRESETS)
def test_a_training_that_is_left_anywhere_goes_on_to_the_same_bits(augment):
    model, fit = fit_of(augment)
    expected = outcome(model, list(fit))
    for leave_at in (2, 7, 9):  # within either epoch of five steps, and in an evaluation
        history = []
        pauses = iter(range(1, 100))

        def callback(_progress, pauses=pauses, leave_at=leave_at):
            if next(pauses) == leave_at:
                raise Left

        _, fit = fit_of(augment, callback=callback)
        with pytest.raises(Left):  # noqa: PT012 - what was yielded before it is part of the test
            for epoch in fit:
                history.append(epoch)  # noqa: PERF402 - what was yielded before the end stays
        state = fit.state()
        torch.rand(7)  # whatever else the process draws
        model, fit = fit_of(augment)
        fit.load_state(state)
        assert_equal(outcome(model, [*history, *fit]), expected)


@pytest.mark.parametrize("augment", PRESETS)
def test_captured_steps_give_the_bits_of_eager_ones(augment, monkeypatch):
    model, fit = fit_of(augment)
    expected = outcome(model, list(fit))
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 10)  # many steps a call, gathered at once
    model, fit = fit_of(augment, step="captured")
    assert_equal(outcome(model, list(fit)), expected)


@pytest.mark.parametrize("augment", PRESETS)
def test_training_is_another_with_augmentation_and_evaluation_is_not_augmented(augment):
    _, plain = fit_of("none", lr=1e-12, optimizer="sgd")
    _, changed = fit_of(augment, lr=1e-12, optimizer="sgd")
    for before, after in zip(plain, changed, strict=True):
        assert after.train.loss != before.train.loss
        assert after.held_out.metrics == before.held_out.metrics  # the weights have not moved


def test_a_mixed_image_counts_as_correct_when_its_larger_part_is_predicted():
    model, fit = fit_of("cutmix", lr=1e-12, optimizer="sgd", epochs=1, batch_size=N)
    (epoch,) = fit
    ((images, labels),) = fit._runner.source.chunks(fit_order(), N, start=0, stop=N, prefetch=False)
    with torch.no_grad():
        expected = (model(images).argmax(dim=1) == labels.argmax(dim=1)).double().mean()
    assert epoch.train.accuracy == pytest.approx(float(expected), abs=1e-9)


def fit_order():
    from cvexp.data.batches import epoch_order

    seed_everything(42)
    return epoch_order(N)


def test_cuda_graphs_are_refused_for_augmented_images():
    model, _ = fit_of("none")
    config = run_config({"model": "tinyvgg", "augment": "trivial", "step": "cuda-graph"})
    with pytest.raises(ConfigError, match="cuda"):
        choose_step(model, DATA, config)
