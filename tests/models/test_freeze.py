from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from cvexp.config import run_config
from cvexp.data.dataset import Dataset
from cvexp.data.split import Split
from cvexp.device import choose, seed_everything
from cvexp.engine.fit import Fit
from cvexp.errors import ConfigError, ModelError
from cvexp.models.freeze import blocks_of, freeze, head_of

SHAPE, K = (1, 8, 8), 3


class Net(nn.Module):
    """A stem, a body and a classifier of two layers, with batch normalisation in each of the three."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))
        self.stem = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4), nn.ReLU())
        self.body = nn.Sequential(nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        self.flatten = nn.Flatten()
        self.classifier = nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, K))

    def forward(self, images):
        return self.classifier(self.flatten(self.body(self.stem(images * self.scale))))


@pytest.fixture
def net():
    seed_everything(1)
    return Net()


def trained(net):
    return {name for name, parameter in net.named_parameters() if parameter.requires_grad}


def in_training_mode(net):
    return {
        name
        for name, module in net.named_modules()
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and module.training
    }


STEM = {"stem.0.weight", "stem.1.weight", "stem.1.bias"}
BODY = {"body.0.weight", "body.0.bias", "body.1.weight", "body.1.bias"}
HIDDEN = {f"classifier.{layer}" for layer in ("0.weight", "0.bias", "1.weight", "1.bias")}
HEAD = {"classifier.2.weight", "classifier.2.bias"}


def test_the_head_is_the_last_layer_with_an_output_per_class(net):
    assert head_of(net, K) == "classifier.2"
    assert blocks_of(net) == ["stem", "body", "classifier"]


@pytest.mark.parametrize("model", [nn.Flatten(), nn.Sequential(nn.Flatten(), nn.Linear(64, 4))])
def test_a_model_without_a_head_is_refused(model):
    with pytest.raises(ModelError, match="3 outputs"):
        freeze(model, "all-but-head", n_classes=K)


WHAT = {
    "1": (BODY | HIDDEN | HEAD, {"body.1", "classifier.1"}),
    "2": (HIDDEN | HEAD, {"classifier.1"}),
    "features": (HIDDEN | HEAD, {"classifier.1"}),
    "all-but-head": (HEAD, set()),
}


@pytest.mark.parametrize("what", WHAT)
def test_what_is_frozen_has_no_gradient_and_stays_in_evaluation_mode(net, what):
    parameters, normalising = WHAT[what]
    freeze(net, what, n_classes=K)
    assert trained(net) == parameters
    for model in (net, copy.deepcopy(net)):
        assert in_training_mode(model.train()) == normalising
        assert in_training_mode(model.eval()) == set()
        for module in model.modules():
            module.train()
        assert in_training_mode(model) == normalising
    assert net.state_dict().keys() == Net().state_dict().keys()


def test_a_copy_is_frozen_by_itself(net):
    freeze(net, "features", n_classes=K)
    copied = copy.deepcopy(net)
    net.stem[1].training = True
    copied.train()
    assert net.stem[1].training
    assert not copied.stem[1].training


@pytest.mark.parametrize("what", ["3", "17"])
def test_blocks_that_are_not_there_are_refused_with_those_that_are(net, what):
    with pytest.raises(ConfigError, match=rf"--freeze {what}: .* has 2 top-level blocks .*: stem, body") as refused:
        freeze(net, what, n_classes=K)
    assert refused.value.hints == ("freeze at most 2, or all-but-head",)


def test_a_model_in_one_block_can_only_be_frozen_up_to_its_head(net):
    wrapped = nn.Sequential(net)
    with pytest.raises(ConfigError, match="0 top-level blocks"):
        freeze(wrapped, "features", n_classes=K)
    freeze(wrapped, "all-but-head", n_classes=K)
    assert trained(net) == HEAD


def data():
    draw = torch.Generator().manual_seed(2)

    def split(n):
        images = torch.randint(0, 256, (n, *SHAPE), dtype=torch.uint8, generator=draw)
        return Split(images=images, labels=torch.randint(0, K, (n,), generator=draw))

    return Dataset(
        name="noise", class_names=("a", "b", "c"), train=split(90), val=None, test=split(30), digest="0", place="-"
    )


def fit(net, step, epochs=2):
    config = run_config({"model": "linear", "epochs": epochs, "step": step, "optimizer": "adamw", "device": "cpu"})
    return list(Fit(net, data(), config=config, device=choose("cpu")))


@pytest.mark.parametrize("step", ["eager", "captured"])
def test_training_leaves_what_is_frozen_as_it_was_to_the_bit(net, step):
    freeze(net, "features", n_classes=K)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    fit(net, step)
    changed = {name for name, tensor in net.state_dict().items() if not torch.equal(tensor, before[name])}
    statistics = {f"classifier.1.{name}" for name in ("running_mean", "running_var", "num_batches_tracked")}
    assert changed == HIDDEN | HEAD | statistics


def test_captured_steps_of_a_frozen_model_are_those_of_eager_ones(net):
    other = copy.deepcopy(net)
    for model in (net, other):
        freeze(model, "features", n_classes=K)
    eager, captured = fit(net, "eager"), fit(other, "captured")
    assert [e.step_losses.tolist() for e in eager] == [e.step_losses.tolist() for e in captured]
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), other.state_dict().values(), strict=True))


def test_without_the_lock_batch_normalisation_would_go_on(net):
    """The trap: no gradients are not enough."""
    net.stem.requires_grad_(requires_grad=False)
    before = net.stem[1].running_mean.clone()
    fit(net, "eager", epochs=1)
    assert not torch.equal(net.stem[1].running_mean, before)
