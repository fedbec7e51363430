"""The options of a step: what each does, and that captured steps do the same."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.data.batches import ResidentSource
from cvexp.data.dataset import Split
from cvexp.data.transforms import Transform
from cvexp.engine.backends.captured import CapturedSteps
from cvexp.engine.backends.eager import EagerSteps
from cvexp.engine.loss import Loss
from cvexp.engine.options import StepOptions
from cvexp.engine.state import TrainState, Unsupported
from cvexp.optim.rules import rule_for
from cvexp.optim.schedules import Schedule

WEIGHTS = torch.tensor([0.5, 2.0, 1.0])
N_IMAGES = 77


def source(n_images=N_IMAGES):
    generator = torch.Generator().manual_seed(5)
    images = torch.randint(0, 256, (n_images, 1, 6, 6), dtype=torch.uint8, generator=generator)
    return ResidentSource(Split(images=images, labels=torch.arange(n_images) % 3), Transform())


def state_of(optimizer="sgd", *, norm=True, **options):
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 4, 3), *([nn.BatchNorm2d(4)] if norm else []), nn.ReLU(), nn.Flatten(), nn.Linear(64, 3)]
    model = nn.Sequential(*layers).to(memory_format=torch.channels_last)
    settings = {key: options.pop(key) for key in ("weight_decay", "decay") if key in options}
    rule = rule_for(run_config({"model": "linear", "optimizer": optimizer, **settings}))
    return TrainState(model, rule, lr=0.05, options=StepOptions(**options))


def run(kind, state, batch_size=16):
    steps = kind(state, source(), batch_size=batch_size)
    n_steps = -(-N_IMAGES // batch_size)
    losses = torch.zeros(n_steps)
    n_right = [int(steps.run(torch.arange(N_IMAGES), losses, start, 3)) for start in range(0, n_steps, 3)]
    return steps, n_right, losses


def weights(state):
    return [tensor.clone() for tensor in state.tensors()]


SCHEDULE = Schedule(name="cosine", n_steps=15, n_warmup=3, n_between_cuts=1, factor=0.1)
EVERYTHING = {
    "loss": Loss(smoothing=0.1, weights=WEIGHTS),
    "schedule": SCHEDULE,
    "batch_size": 5,
    "clip_norm": 0.3,
    "ema": 0.9,
    "weight_decay": 0.01,
    "decay": "matrices",
}


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", ["schedule", "batch_size", "clip_norm", "ema", "decay", None])
def test_every_option_is_captured_bit_for_bit(name, optimizer):
    """`batch_size` of a forward pass: the step's gradients are accumulated."""
    if name == "decay":
        options = {"weight_decay": 0.01, "decay": "matrices"}
    else:
        options = EVERYTHING if name is None else {name: EVERYTHING[name]}
    eager, captured = state_of(optimizer, **options), state_of(optimizer, **options)
    first, *_, n_right, losses = run(EagerSteps, eager)
    second, *_, n_right_too, losses_too = run(CapturedSteps, captured)
    assert n_right == n_right_too
    assert torch.equal(losses, losses_too)
    assert all(torch.equal(a, b) for a, b in zip(weights(first.state), weights(second.state), strict=True))
    assert (eager.lr, eager.n_taken, eager.n_steps) == (captured.lr, captured.n_taken, captured.n_steps)
    plain = state_of(optimizer)
    run(EagerSteps, plain)
    assert not all(torch.equal(a, b) for a, b in zip(plain.tensors(), eager.tensors(), strict=False)) or name == "ema"


@pytest.mark.parametrize("loss", [Loss(), Loss(smoothing=0.1, weights=WEIGHTS)], ids=["plain", "weighted"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_accumulated_batches_are_the_larger_batch_within_rounding(loss, optimizer):
    whole, parts = state_of(optimizer, norm=False, loss=loss), state_of(optimizer, norm=False, loss=loss, batch_size=4)
    _, n_right, losses = run(EagerSteps, whole)
    _, n_right_too, losses_too = run(EagerSteps, parts)
    assert n_right == n_right_too
    torch.testing.assert_close(losses, losses_too, rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(whole.parameters, parts.parameters, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_bf16_steps_are_captured_bit_for_bit_and_close_to_fp32(optimizer):
    plain, eager, captured = (state_of(optimizer), *(state_of(optimizer, dtype=torch.bfloat16) for _ in range(2)))
    _, _, losses = run(EagerSteps, plain)
    _, _, losses_eager = run(EagerSteps, eager)
    _, _, losses_captured = run(CapturedSteps, captured)
    assert torch.equal(losses_captured, losses_eager)
    assert all(torch.equal(a, b) for a, b in zip(weights(eager), weights(captured), strict=True))
    assert not torch.equal(losses, losses_eager)
    torch.testing.assert_close(losses, losses_eager, rtol=0.05, atol=0.05)
    assert all(one.dtype == torch.float32 for one in eager.parameters)


def test_fp16_scales_its_loss_leaves_overflowing_steps_out_and_goes_on_where_it_was():
    state = state_of("adam", dtype=torch.float16, ema=0.9)
    _, _, losses = run(EagerSteps, state)
    assert torch.isfinite(losses).all()
    assert state.n_steps[0] == state.n_taken == 5
    state.scaler.scale.fill_(2.0**100)
    before = weights(state)
    run(EagerSteps, state)
    assert state.n_taken == 10
    assert state.n_steps[0] == 5
    assert all(torch.equal(a, b) for a, b in zip(weights(state)[:2], before[:2], strict=True))
    again = state_of("adam", dtype=torch.float16, ema=0.9)
    again.load_state_dict(state.state_dict())
    assert again.scaler.scale == state.scaler.scale == 2.0**95
    with pytest.raises(Unsupported, match="a scaled loss"):
        CapturedSteps(state_of(dtype=torch.float16), source(), batch_size=16)


def test_a_clipped_step_of_sgd_is_as_long_as_the_norm_allows():
    state = state_of(clip_norm=0.01)
    before = [parameter.clone() for parameter in state.parameters]
    EagerSteps(state, source(), batch_size=16).run(torch.arange(N_IMAGES), torch.zeros(5), 0, 1)
    moved = [a.detach() - b.detach() for a, b in zip(state.parameters, before, strict=True)]
    assert float(torch.stack([one.norm() for one in moved]).norm()) == pytest.approx(0.05 * 0.01, rel=1e-3)


def test_weight_decay_for_matrices_spares_biases_and_norms():
    decayed, spared, plain = (
        state_of("adamw", **options)
        for options in ({"weight_decay": 0.5}, {"weight_decay": 0.5, "decay": "matrices"}, {"weight_decay": 0.0})
    )
    for state in (decayed, spared, plain):
        for parameter in state.parameters:
            torch.nn.init.ones_(parameter)
            parameter.grad = torch.ones_like(parameter)
        with torch.no_grad():
            state.update()
    for all_of_them, matrices, none in zip(decayed.parameters, spared.parameters, plain.parameters, strict=True):
        assert torch.equal(matrices, all_of_them if matrices.dim() > 1 else none)
        assert not torch.equal(all_of_them, none)


def test_each_step_takes_its_rate_from_the_schedule_and_a_state_goes_on_with_it():
    state = state_of(schedule=SCHEDULE)
    steps = EagerSteps(state, source(), batch_size=16)
    seen = []
    for step in range(5):
        steps.run(torch.arange(N_IMAGES), torch.zeros(5), step, 1)
        seen.append(state.lr.item())
    assert seen == [SCHEDULE.rate(step, 0.05) for step in range(5)]
    again = state_of(schedule=SCHEDULE)
    again.load_state_dict(state.state_dict())
    assert again.rate(0) == SCHEDULE.rate(5, 0.05)
    assert again.rate(2) == SCHEDULE.rate(7, 0.05)


def test_the_averaged_weights_are_evaluated_and_stored_beside_the_models():
    state = state_of(ema=0.9)
    run(EagerSteps, state)
    assert not torch.equal(state.evaluated[0].weight, state.model[0].weight)
    again = state_of(ema=0.9)
    again.load_state_dict(state.state_dict())
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(state), strict=True))
    run(EagerSteps, state)
    run(EagerSteps, again)
    assert all(torch.equal(a, b) for a, b in zip(weights(again), weights(state), strict=True))
