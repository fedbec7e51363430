from __future__ import annotations

import pytest
import torch
from torch import nn

from cvexp.errors import ModelError
from cvexp.models.registry import build, find_entry
from cvexp.models.summary import check_output, layer_macs, model_size, summarize, widest_output

FASHION = (1, 28, 28)
LINEAR_MACS = 784 * 10 + 10 * 10
TINYVGG_MACS = {
    "block_1.0": 28 * 28 * 10 * 9 * 1,
    "block_1.2": 28 * 28 * 10 * 9 * 10,
    "block_2.0": 14 * 14 * 10 * 9 * 10,
    "block_2.2": 14 * 14 * 10 * 9 * 10,
    "classifier.1": 490 * 10,
}


def built(name, shape=FASHION, n_classes=10):
    return build(find_entry(name), image_shape=shape, n_classes=n_classes, hidden_units=10, model_args={})


@pytest.mark.parametrize(
    ("name", "parameters", "macs"), [("linear", 7960, 7940), ("mlp", 7960, 7940), ("tinyvgg", 7740, 1_133_860)]
)
def test_totals_are_those_counted_by_hand(name, parameters, macs):
    summary = summarize(built(name), FASHION)
    assert summary.macs == macs == (sum(TINYVGG_MACS.values()) if name == "tinyvgg" else LINEAR_MACS)
    assert (summary.size.parameters, summary.size.bytes) == (parameters, 4 * parameters)


@pytest.mark.parametrize("name", ["linear", "mlp", "tinyvgg"])
@pytest.mark.parametrize("shape", [FASHION, (3, 37, 53), (1, 5, 4)])
def test_layers_add_up_to_the_whole(name, shape):
    summary = summarize(built(name, shape), shape)
    assert sum(layer.parameters for layer in summary.layers) == summary.size.parameters
    assert sum(layer.macs for layer in summary.layers) == summary.macs > 0
    assert summary.layers[-1].output_shape == (10,)


def test_layers_come_in_the_order_they_run_with_what_they_make_of_one_image():
    layers = summarize(built("tinyvgg"), FASHION).layers
    assert [(layer.kind, layer.output_shape) for layer in layers] == [
        ("Conv2d", (10, 28, 28)),
        ("ReLU", (10, 28, 28)),
        ("Conv2d", (10, 28, 28)),
        ("ReLU", (10, 28, 28)),
        ("MaxPool2d", (10, 14, 14)),
        ("Conv2d", (10, 14, 14)),
        ("ReLU", (10, 14, 14)),
        ("Conv2d", (10, 14, 14)),
        ("ReLU", (10, 14, 14)),
        ("MaxPool2d", (10, 7, 7)),
        ("Flatten", (490,)),
        ("Linear", (10,)),
    ]
    assert {layer.name: layer.macs for layer in layers if layer.macs} == TINYVGG_MACS
    assert {layer.name: layer.parameters for layer in layers if layer.parameters} == {
        "block_1.0": 100,
        "block_1.2": 910,
        "block_2.0": 910,
        "block_2.2": 910,
        "classifier.1": 4910,
    }


def test_bytes_count_buffers_and_narrow_types_and_parameters_do_not():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.Linear(4, 2).half())
    size = model_size(model)
    assert size.parameters == 4 + 4 + 8 + 2
    assert size.bytes == 4 * (4 + 4) + 2 * (8 + 2) + 4 * (4 + 4) + 8, "mean, variance and the int64 count of batches"


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_left_as_it_was(training):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(784), nn.Linear(784, 10)).train(training)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(1)
    drawn = torch.get_rng_state()
    summarize(model, FASHION)
    assert all(module.training is training for module in model.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), drawn)


@pytest.mark.parametrize("training", [True, False])
def test_a_model_is_left_as_it_was_when_the_image_does_not_fit(training):
    model = built("linear").train(training)
    with pytest.raises(RuntimeError):
        summarize(model, (1, 5, 5))
    assert all(module.training is training for module in model.modules())
    assert not any(module._forward_hooks for module in model.modules())


class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer, self.n, self.calls = nn.Linear(784, 10), 0, []

    def forward(self, images):
        self.n += 1
        self.calls.append(len(images))
        return self.layer(images.flatten(1))


@pytest.mark.parametrize(
    "look",
    [
        lambda model: summarize(model, FASHION),
        lambda model: layer_macs(model, FASHION),
        lambda model: widest_output(model, FASHION, device=torch.device("cpu")),
        lambda model: check_output(model, name="counts", image_shape=FASHION, n_classes=10),
    ],
)
def test_looking_at_a_model_leaves_its_python_attributes_alone(look):
    model = Counts()
    look(model)
    assert (model.n, model.calls) == (0, [])


def test_a_layer_that_runs_twice_is_listed_once():
    shared = nn.Linear(16, 16)
    model = nn.Sequential(nn.Flatten(), shared, nn.ReLU(), shared)
    summary = summarize(model, (1, 4, 4))
    assert summary.size.parameters == sum(layer.parameters for layer in summary.layers) == 16 * 16 + 16
    assert summary.macs == sum(layer.macs for layer in summary.layers) == 2 * 16 * 16


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRU(4, 3, batch_first=True)

    def forward(self, images):
        return self.cell(images[:, 0])[0][:, -1]


@pytest.mark.parametrize(
    ("model", "shape", "widest"),
    [
        (built("tinyvgg"), FASHION, 10 * 28 * 28),
        (built("linear"), FASHION, 28 * 28),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 50), nn.Linear(50, 2)), (1, 4, 4), 50),
        (Recurrent(), (1, 4, 4), 16),
    ],
)
def test_the_widest_output_is_a_layers_or_the_image(model, shape, widest):
    model.train()
    assert widest_output(model, shape, device=torch.device("cpu")) == widest
    assert model.training


def test_a_layer_that_answers_with_several_tensors_shows_the_first():
    assert summarize(Recurrent(), (1, 4, 4)).layers[0].output_shape == (4, 3)


def test_a_frozen_part_stays_frozen():
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(16), nn.Linear(16, 2)).train()
    model[1].eval()
    summarize(model, (1, 4, 4))
    assert [module.training for module in model] == [True, False, True]


@pytest.mark.parametrize(
    ("model", "complaint"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(7, 2)), "cannot take 1x6x5 images"),
        (nn.Sequential(nn.Flatten(), nn.Linear(30, 3)), "returned (1, 3) for one image"),
        (nn.Conv2d(1, 2, 3), "returned (1, 2, 4, 3) for one image"),
        (nn.LSTM(5, 2), "cannot take 1x6x5 images"),
    ],
)
def test_a_model_that_does_not_fit_its_data_is_refused_before_it_is_trained(model, complaint):
    with pytest.raises(ModelError) as refused:
        check_output(model, name="mine", image_shape=(1, 6, 5), n_classes=2)
    assert complaint in refused.value.what
    assert model.training


@pytest.mark.parametrize("name", ["linear", "mlp", "tinyvgg"])
def test_every_built_in_model_fits_its_data(name):
    model = build(find_entry(name), image_shape=(1, 6, 5), n_classes=2, hidden_units=3, model_args={})
    check_output(model, name=name, image_shape=(1, 6, 5), n_classes=2)
