"""All options at once: a training that is left anywhere goes on to the bits of one that was not."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from cvexp.config import run_config
from cvexp.device import choose
from cvexp.engine.fit import Fit
from tests.engine.noise import Left, noise, noise_dataset
from tests.engine.test_resume import model_of, outcome, stored

DATA = replace(noise_dataset(150, 60), val=noise(60, 3))
EVERYTHING = {
    "optimizer": "adamw",
    "decay": "matrices",
    "warmup_epochs": 1.0,
    "label_smoothing": 0.1,
    "class_weights": "balanced",
    "sampler": "balanced",
    "augment": "cutmix",
    "clip_norm": 0.5,
    "accumulate": 3,
    "ema": 0.9,
    "keep_best": True,
    "early_stop": 9,
    "val_split": 0.2,
}
SCHEDULES = {
    "cosine": {"schedule": "cosine"},
    "one-cycle": {"schedule": "one-cycle"},
    "plateau": {"schedule": "plateau", "lr_patience": 0, "lr_factor": 0.5},
    "step, fp16": {"schedule": "step", "lr_step_epochs": 1, "precision": "fp16", "step": "eager"},
    "cosine, bf16": {"schedule": "cosine", "precision": "bf16"},
}


def fit_of(callback=None, **settings):
    model = model_of("regular")
    asked = {"model": "linear", "epochs": 4, "batch_size": 16, "step": "captured", **EVERYTHING, **settings}
    return model, Fit(model, DATA, config=run_config(asked), device=choose("cpu"), callback=callback)


def finished(model, fit, history):
    """Everything that a run would report and store."""
    state = fit.state()["state"]
    figures, tensors = outcome(model, fit, history)
    best = fit.finish()
    extra = [state["lr"], state["n_taken"], best, state.get("plateau"), state.get("scaler"), state["best"]["epoch"]]
    weights = [*state["average"], *state["best"]["weights"].values(), *model.state_dict().values()]
    return figures, extra, [*tensors, *weights]


@pytest.fixture(autouse=True)
def _one_step_a_call(monkeypatch):
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 1e-6)


@pytest.mark.parametrize(
    "name", ["cosine", *(pytest.param(name, marks=pytest.mark.slow) for name in SCHEDULES if name != "cosine")]
)
def test_a_training_with_every_option_that_is_left_goes_on_to_the_same_bits(name):
    settings = SCHEDULES[name]
    model, fit = fit_of(**settings)
    expected = finished(model, fit, list(fit))
    assert expected[1][1] == 4 * 4  # four epochs of four steps
    for leave_at in (2, 5, 12, 19):  # within an epoch, in an evaluation, after the best epoch
        history, pauses = [], iter(range(1, 100))

        def callback(_progress, pauses=pauses, leave_at=leave_at):
            if next(pauses) == leave_at:
                raise Left

        _, fit = fit_of(callback, **settings)
        with pytest.raises(Left):  # noqa: PT012 - what was yielded before it is part of the test
            for epoch in fit:
                history.append(epoch)  # noqa: PERF402 - what was yielded before the end stays
        state = stored(fit.state())
        torch.rand(7)
        model, fit = fit_of(**settings)
        fit.load_state(state)
        found = finished(model, fit, [*history, *fit])
        assert found[:2] == expected[:2], leave_at
        assert all(torch.equal(a, b) for a, b in zip(found[2], expected[2], strict=True)), leave_at
