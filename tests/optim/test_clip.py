from __future__ import annotations

import pytest
import torch
from torch.nn.utils import clip_grad_norm_

from cvexp.optim.clip import clipped


@pytest.mark.parametrize("max_norm", [1e-3, 1.0, 100.0])
def test_gradients_are_scaled_down_as_torch_does_and_not_changed_in_place(max_norm):
    torch.manual_seed(0)
    gradients = [torch.randn(3, 4), torch.randn(7), torch.randn(2, 1, 3, 3)]
    before = [one.clone() for one in gradients]
    parameters = [torch.nn.Parameter(torch.zeros_like(one)) for one in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    clip_grad_norm_(parameters, max_norm)
    found = clipped(gradients, max_norm)
    assert all(torch.equal(ours, p.grad) for ours, p in zip(found, parameters, strict=True))
    assert all(torch.equal(now, then) for now, then in zip(gradients, before, strict=True))
    norm = torch.stack([one.norm() for one in found]).norm()
    assert float(norm) <= max_norm * (1 + 1e-5)
    assert torch.equal(found[0], gradients[0]) is (max_norm == 100.0)
