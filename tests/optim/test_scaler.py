from __future__ import annotations

import pytest
import torch

from cvexp.optim import scaler
from cvexp.optim.scaler import LossScaler


def test_scale_and_steps_left_out_are_torchs(monkeypatch):
    monkeypatch.setattr(scaler, "GROWTH_INTERVAL", 3)
    ours, theirs = LossScaler(torch.device("cpu")), torch.amp.GradScaler("cpu", growth_interval=3)
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    moved = []
    for slope in (1.0, 1e38, 2.0, 1.0, 3.0, 1.0, float("inf"), 1.0):
        weight.grad = None
        before = weight.detach().clone()
        theirs.scale((weight * slope).sum()).backward()
        gradient = torch.full((2,), slope) * ours.scale
        assert torch.equal(gradient, weight.grad)
        theirs.step(optimizer)
        theirs.update()
        moved.append(ours.unscale([gradient]))
        assert moved[-1] is not torch.equal(before, weight)
        assert gradient.tolist() == pytest.approx([slope] * 2) or not moved[-1]
        assert ours.scale.item() == theirs.get_scale()
        again = LossScaler(torch.device("cpu"))
        again.load_state_dict(ours.state_dict())
        assert again.state_dict() == ours.state_dict()
        assert again.scale == ours.scale
    assert moved == [True, False, True, True, True, True, False, True]
