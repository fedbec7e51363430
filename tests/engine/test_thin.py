from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from cvexp.engine.predict import predict
from cvexp.engine.thin import WideLinear

needs_mkl = pytest.mark.skipif(not torch.backends.mkl.is_available(), reason="only MKL is slow with thin layers")


class Computed(TorchFunctionMode):
    """Notes how many outputs the linear layers had that were really computed."""

    def __init__(self):
        super().__init__()
        self.n_outputs = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        if func is functional.linear:
            self.n_outputs.append(len(args[1]))
        return func(*args, **(kwargs or {}))


def computed(rows, layer):
    """How many outputs of `layer` are computed, and what they are."""
    with torch.inference_mode(), Computed() as seen, WideLinear():
        return seen.n_outputs, layer(rows)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("n_outputs", range(1, 19))
def test_outputs_are_the_layers_own_up_to_rounding(n_outputs, bias):
    torch.manual_seed(n_outputs)
    layer, rows = nn.Linear(200, n_outputs, bias=bias), torch.rand(300, 200)
    _, found = computed(rows, layer)
    with torch.inference_mode():
        torch.testing.assert_close(found, layer(rows), rtol=0, atol=1e-5)
    assert found.is_contiguous()


@needs_mkl
@pytest.mark.parametrize("n_outputs", [9, 10, 15])
def test_thin_layers_are_computed_with_sixteen_outputs(n_outputs):
    seen, _ = computed(torch.rand(300, 200), nn.Linear(200, n_outputs))
    assert seen == [16]


@pytest.mark.parametrize(
    ("rows", "layer"),
    [
        (torch.rand(300, 200), nn.Linear(200, 8)),
        (torch.rand(300, 200), nn.Linear(200, 17)),
        (torch.rand(30, 200), nn.Linear(200, 10)),
        (torch.rand(300, 20), nn.Linear(20, 10)),
        (torch.rand(2, 300, 200), nn.Linear(200, 10)),
        (torch.rand(300, 200, dtype=torch.float64), nn.Linear(200, 10, dtype=torch.float64)),
    ],
)
def test_what_would_not_gain_is_left_alone(rows, layer):
    seen, found = computed(rows, layer)
    assert seen == [layer.out_features]
    with torch.inference_mode():
        assert torch.equal(found, layer(rows))


def test_predictions_use_the_same_products_as_evaluations():
    torch.manual_seed(1)
    layer = nn.Linear(200, 10)
    images = torch.randint(0, 256, (300, 1, 10, 20), dtype=torch.uint8)
    _, expected = computed(images.flatten(1) / 255, layer)
    assert torch.equal(predict(nn.Sequential(nn.Flatten(), layer), images), expected)
