"""What is changed in a recorded step so that it takes less memory; the numbers stay as they were, to the last bit."""

from __future__ import annotations

import torch
from torch import nn

from cvexp.config import run_config
from cvexp.engine.backends.recording import record
from cvexp.engine.state import TrainState
from cvexp.engine.step import train_step
from cvexp.optim.rules import rule_for

aten = torch.ops.aten


def recorded(model):
    torch.manual_seed(0)
    images, labels = torch.rand(8, 1, 9, 9), torch.arange(8) % 4
    state = TrainState(model, rule_for(run_config({"model": "linear"})), lr=0.1)
    program, trained = record(state.copy(), images, labels)
    assert trained == list(range(len(state.parameters)))
    replayed = [tensor.clone() for tensor in state.tensors()]
    with torch.inference_mode():
        found = program.forward(images, labels, *replayed, *state.coefficients(0)[0])
    expected = train_step(state, images, labels)
    pairs = zip([*found, *replayed], [*expected, *state.tensors()], strict=True)
    assert all(torch.equal(ours, theirs) for ours, theirs in pairs)
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
