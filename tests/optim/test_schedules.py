"""Each schedule against torch's own, step for step."""

from __future__ import annotations

import math

import pytest
import torch
from torch.optim import SGD, lr_scheduler

from cvexp.config import run_config
from cvexp.errors import ConfigError
from cvexp.optim.schedules import plateau_for, schedule_for

LR = 0.3
PER_EPOCH = 7


def asked(**settings):
    return run_config({"model": "linear", "lr": LR, "epochs": 6, **settings})


def rates(**settings):
    config = asked(**settings)
    schedule = schedule_for(config, steps_per_epoch=PER_EPOCH)
    return [schedule.rate(step, LR) for step in range(6 * PER_EPOCH)]


def of_torch(build):
    """Rates of torch's scheduler, which `build` makes for an optimizer."""
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = build(optimizer)
    found = []
    for _ in range(6 * PER_EPOCH):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def warmed(n_warmup, after):
    def build(optimizer):
        rising = lr_scheduler.LinearLR(optimizer, start_factor=1 / (n_warmup + 1), total_iters=n_warmup)
        return lr_scheduler.SequentialLR(optimizer, [rising, after(optimizer)], milestones=[n_warmup])

    return build


ALL = 6 * PER_EPOCH
REFERENCES = {
    "cosine": ({"schedule": "cosine"}, lambda o: lr_scheduler.CosineAnnealingLR(o, ALL)),
    "step": (
        {"schedule": "step", "lr_step_epochs": 2, "lr_factor": 0.5},
        lambda o: lr_scheduler.StepLR(o, 2 * PER_EPOCH, 0.5),
    ),
    "warm-up alone": (
        {"warmup_epochs": 2},
        lambda o: lr_scheduler.LinearLR(o, start_factor=1 / (2 * PER_EPOCH + 1), total_iters=2 * PER_EPOCH),
    ),
    "warm-up and cosine": (
        {"schedule": "cosine", "warmup_epochs": 1},
        warmed(PER_EPOCH, lambda o: lr_scheduler.CosineAnnealingLR(o, ALL - PER_EPOCH)),
    ),
    "warm-up and step": (
        {"schedule": "step", "lr_step_epochs": 1, "warmup_epochs": 2},
        warmed(2 * PER_EPOCH, lambda o: lr_scheduler.StepLR(o, PER_EPOCH, 0.1)),
    ),
}


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("name", REFERENCES)
def test_rates_are_torchs_step_for_step(name):
    settings, build = REFERENCES[name]
    assert rates(**settings) == pytest.approx(of_torch(build), rel=1e-9)


@pytest.mark.parametrize(("settings", "rising"), [({}, 0.3), ({"warmup_epochs": 2}, 2 / 6)])
def test_one_cycle_is_torchs_step_for_step(settings, rising):
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    n_rising = round(rising * ALL)
    scheduler = lr_scheduler.OneCycleLR(optimizer, LR, total_steps=ALL, pct_start=n_rising / ALL, cycle_momentum=False)
    expected = []
    for _ in range(ALL):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(expected) < ALL:
            scheduler.step()
    assert rates(schedule="one-cycle", **settings) == pytest.approx(expected, rel=1e-9)
    assert max(expected) == pytest.approx(LR)


def test_a_fraction_of_an_epoch_can_warm_up():
    found = rates(warmup_epochs=0.5)
    assert found[:5] == pytest.approx([LR * n / 5 for n in (1, 2, 3, 4, 5)])
    assert found[5:] == [LR] * (ALL - 5)


LOSSES = [1.0, 0.9, 0.91, 0.9, 0.89995, 0.5, 0.6, 0.6, 0.6, 0.6, 0.4, math.nan, 0.5, 0.5]


@pytest.mark.parametrize("patience", [0, 1, 2])
def test_plateau_is_torchs_epoch_for_epoch(patience):
    config = asked(schedule="plateau", lr_patience=patience, lr_factor=0.5)
    ours = plateau_for(config)
    optimizer = SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    theirs = lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=patience)
    for loss in LOSSES:
        ours.observe(loss)
        theirs.step(loss)
        again = plateau_for(config)
        again.load_state_dict(ours.state_dict())
        assert again == ours
        assert ours.lr == optimizer.param_groups[0]["lr"]
    assert ours.lr < LR


def test_the_rate_stays_where_nothing_is_asked():
    assert schedule_for(asked(), steps_per_epoch=PER_EPOCH) is None
    assert plateau_for(asked()) is None


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"lr_step_epochs": 2}, "--lr-step-epochs 2: schedule none has no such option"),
        ({"schedule": "cosine", "lr_factor": 0.5}, "--lr-factor 0.5: schedule cosine has no such option"),
        ({"schedule": "step", "lr_patience": 2}, "--lr-patience 2: schedule step has no such option"),
        ({"schedule": "step"}, "--lr-step-epochs 10: too late for 6 epochs; give a smaller one, or more --epochs"),
        ({"schedule": "plateau"}, "--lr-patience 10: too late for 6 epochs; give a smaller one, or more --epochs"),
        ({"warmup_epochs": 6}, "--warmup-epochs 6.0: too late for 6 epochs; give a smaller one, or more --epochs"),
        ({"warmup_epochs": -1}, "--warmup-epochs -1: input should be greater than or equal to 0"),
        (
            {"schedule": "plateau", "lr_patience": 1, "val_split": 0.0},
            "--schedule plateau: it needs a validation part: leave --val-split out, or give one above 0",
        ),
    ],
)
def test_a_schedule_that_could_do_nothing_is_refused(settings, complaint):
    with pytest.raises(ConfigError) as refused:
        asked(**settings)
    assert refused.value.what == complaint


def test_plateau_sets_a_validation_part_aside():
    assert asked(schedule="plateau", lr_patience=1).val_split == 0.1
    assert asked(schedule="plateau", lr_patience=1, val_split=0.3).val_split == 0.3
