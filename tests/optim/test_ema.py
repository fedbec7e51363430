from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from cvexp.optim.ema import Average


def model_of():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def walk(model, n_steps):
    """Move the weights, and yield after each step."""
    for step in range(1, n_steps + 1):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model.train()(torch.randn(4, 1, 4, 4))
        yield step


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.9, 0.9999])
def test_the_average_is_the_weighted_mean_of_the_weights_after_each_step(decay):
    model = model_of()
    average = Average(model, decay)
    seen = []
    for step in walk(model, 5):
        seen.append([tensor.clone() for tensor in (*model.parameters(), model[1].running_mean, model[1].running_var)])
        with torch.no_grad():
            average.update(average.weight(step))
    weights = torch.tensor([decay ** (5 - step) for step in range(1, 6)], dtype=torch.float64)
    weights = weights / weights.sum()
    evaluated = average.evaluated()
    found = [*evaluated.parameters(), evaluated[1].running_mean, evaluated[1].running_var]
    for n, tensor in enumerate(found):
        by_hand = sum(weight * one[n].double() for weight, one in zip(weights, seen, strict=True))
        torch.testing.assert_close(tensor.double(), by_hand, rtol=1e-5, atol=1e-6)
    assert evaluated[1].num_batches_tracked == 5


def test_after_many_steps_it_is_torchs_average():
    model = model_of()
    average = Average(model, 0.5)
    theirs = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=False)
    for step in walk(model, 40):
        with torch.no_grad():
            average.update(average.weight(step))
        theirs.update_parameters(model)
    for ours, other in zip(average.evaluated().parameters(), theirs.module.parameters(), strict=True):
        torch.testing.assert_close(ours, other, rtol=1e-5, atol=1e-5)


def test_a_weight_in_a_tensor_gives_the_same_within_rounding():
    """As a CUDA graph has it."""
    model = model_of()
    ours, theirs = Average(model, 0.9), Average(model, 0.9)
    for step in walk(model, 3):
        with torch.no_grad():
            ours.update(ours.weight(step))
            theirs.update(theirs.weight(torch.tensor(float(step), dtype=torch.float64)).float())
    for a, b in zip(ours.tensors, theirs.tensors, strict=True):
        torch.testing.assert_close(a, b)


def test_frozen_weights_are_not_averaged():
    model = model_of()
    model[0].requires_grad_(requires_grad=False)
    average = Average(model, 0.9)
    assert len(average.tensors) == 4 + 2  # two of the norm, two of the head, two statistics
    assert not any(parameter.requires_grad for parameter in average.model.parameters())
