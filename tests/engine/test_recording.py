"""What is changed in a recorded step so that it takes less memory; the numbers stay as they were, to the last bit."""

from __future__ import annotations

import torch
from torch import nn

from cvexp.engine.recording import record

aten = torch.ops.aten


def recorded(model):
    torch.manual_seed(0)
    images, labels = torch.rand(8, 1, 9, 9), torch.arange(8) % 4
    state = list(model.parameters())
    program, expected, _ = record(model, state, images, labels)
    with torch.inference_mode():
        found = program.forward(images, labels, *state)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))
    return [node.target for node in program.graph.nodes]


class ReadTwice(nn.Module):
    """Reads what goes into its ReLU once more."""

    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(81, 6), nn.Linear(6, 4)

    def forward(self, images):
        signal = self.first(images.flatten(1))
        return self.last(torch.relu(signal) + signal)


def test_relu_overwrites_what_nobody_else_reads():
    calls = recorded(nn.Sequential(nn.Flatten(), nn.Linear(81, 6), nn.ReLU(), nn.Linear(6, 4)))
    assert aten.relu_.default in calls
    assert aten.threshold_backward.grad_input in calls
    assert aten.relu.default not in calls


def test_relu_leaves_what_others_read():
    calls = recorded(ReadTwice())
    assert aten.relu.default in calls
    assert aten.relu_.default not in calls
