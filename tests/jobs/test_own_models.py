"""Models of the user's own: what cannot be trained is refused before a run is opened, what can be is described."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

FACTORIES = """
import torch
from torch import nn


class Body(nn.Module):
    def __init__(self, image_shape, n_classes):
        super().__init__()
        channels, height, width = image_shape
        self.layer = nn.Linear(channels * height * width, n_classes)

    def forward(self, images):
        return self.layer(images.flatten(1))


class InPairs(Body):
    def forward(self, images):
        logits = super().forward(images)
        return logits, logits


class InPairsWhileTraining(Body):
    def forward(self, images):
        logits = super().forward(images)
        return (logits, logits) if self.training else logits


class WithIntegers(Body):
    def __init__(self, image_shape, n_classes):
        super().__init__(image_shape, n_classes)
        self.offset = nn.Parameter(torch.ones(n_classes, dtype=torch.int64), requires_grad=False)

    def forward(self, images):
        return super().forward(images) + self.offset


class Fails(Body):
    def forward(self, images):
        if self.training:
            raise RuntimeError("no training today\\nand tomorrow")
        return super().forward(images)


class Detached(Body):
    def forward(self, images):
        return super().forward(images).detach()


def pairs(image_shape, n_classes, *, hidden_units=10):
    return InPairs(image_shape, n_classes)


def pairs_while_training(image_shape, n_classes, *, hidden_units=10):
    return InPairsWhileTraining(image_shape, n_classes)


def integers(image_shape, n_classes, *, hidden_units=10):
    return WithIntegers(image_shape, n_classes)


class OfIntegers(Body):
    def __init__(self, image_shape, n_classes):
        super().__init__(image_shape, n_classes)
        weight = torch.ones_like(self.layer.weight, dtype=torch.int64)
        self.layer.weight = nn.Parameter(weight, requires_grad=False)


def of_integers(image_shape, n_classes, *, hidden_units=10):
    return OfIntegers(image_shape, n_classes)


def fails(image_shape, n_classes, *, hidden_units=10):
    return Fails(image_shape, n_classes)


def detached(image_shape, n_classes, *, hidden_units=10):
    return Detached(image_shape, n_classes)


def frozen(image_shape, n_classes, *, hidden_units=10):
    return Body(image_shape, n_classes).requires_grad_(False)


def normalised(image_shape, n_classes, *, hidden_units=10):
    layers = Body(image_shape, hidden_units), nn.BatchNorm1d(hidden_units), nn.Linear(hidden_units, n_classes)
    return nn.Sequential(*layers)


def activated(image_shape, n_classes, *, hidden_units=10, activation=nn.ReLU):
    return nn.Sequential(Body(image_shape, n_classes), activation())


class Tied(nn.Module):
    def __init__(self, image_shape, n_classes):
        super().__init__()
        n = image_shape[0] * image_shape[1] * image_shape[2]
        self.first, self.second, self.last = nn.Linear(n, n), nn.Linear(n, n), nn.Linear(n, n_classes)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.ones(n_classes))

    def forward(self, images):
        return self.last(self.second(self.first(images.flatten(1)))) * self.scale


class Unused(Body):
    def __init__(self, image_shape, n_classes):
        super().__init__(image_shape, n_classes)
        self.idle = nn.Linear(3, 4)


def tied(image_shape, n_classes, *, hidden_units=10):
    return Tied(image_shape, n_classes)


def unused(image_shape, n_classes, *, hidden_units=10):
    return Unused(image_shape, n_classes)


def wide(image_shape, n_classes, hidden_units=10, dropout=0.1):
    return nn.Sequential(Body(image_shape, n_classes), nn.Dropout(dropout))


def lazy(image_shape, n_classes, *, hidden_units=10):
    return nn.Sequential(nn.Flatten(), nn.LazyLinear(hidden_units), nn.LazyBatchNorm1d(), nn.LazyLinear(n_classes))


def named(image_shape, n_classes, *, hidden_units=10, label="x"):
    return Body(image_shape, n_classes)
"""


@pytest.fixture
def nets(lab, tmp_path, monkeypatch):
    """The name of an importable module with the factories, other in each test."""
    name = f"nets_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{name}.py").write_text(FACTORIES)
    monkeypatch.syspath_prepend(tmp_path)
    return name


def n_runs(lab):
    client = MlflowClient(lab.settings.tracking_uri)
    return len(client.search_runs([e.experiment_id for e in client.search_experiments()]))


TRAIN = ("--dataset", "digits", "--limit", "65", "--epochs", "1", "--device", "cpu", "--experiment", "own models")


def refused(cvexp, lab, *words):
    """The lines of a training that is refused, and opens no run."""
    before = n_runs(lab)
    outcome = cvexp("train", *words)
    lines = outcome.stderr.splitlines()
    assert outcome.code == 2, outcome.stderr
    assert len(lines) <= 3
    assert "Traceback" not in outcome.stderr
    assert n_runs(lab) == before
    return " ".join(lines)


REFUSED = {
    "pairs": "tuple",
    "pairs_while_training": "tuple",
    "fails": "no training today",
    "frozen": "requires a gradient",
    "detached": "gradient",
    "of_integers": "dtype",
}
STEPS = pytest.mark.parametrize("step", ["auto", "eager", "captured"])


@STEPS
@pytest.mark.parametrize("factory", list(REFUSED))
def test_a_model_that_cannot_be_trained_is_refused_before_a_run_is_opened(cvexp, lab, nets, factory, step):
    complaint = refused(cvexp, lab, f"{nets}:{factory}", *TRAIN, "--step", step)
    assert REFUSED[factory] in complaint
    assert f"{nets}:{factory}" in complaint


@STEPS
@pytest.mark.slow
def test_a_last_batch_of_one_image_under_batch_normalisation_is_refused_with_a_size_that_works(cvexp, lab, nets, step):
    complaint = refused(cvexp, lab, f"{nets}:normalised", *TRAIN, "--batch-size", "32", "--step", step)
    assert "1 image" in complaint
    size = complaint.partition("--batch-size ")[2].split()[0].rstrip(",;")
    outcome = cvexp("train", f"{nets}:normalised", *TRAIN, "--batch-size", size, "--step", step, "--json")
    assert outcome.code == 0, outcome.stderr


@pytest.mark.slow
def test_a_last_batch_of_one_image_is_trained_on_where_nothing_forbids_it(cvexp, lab, nets):
    assert cvexp("train", f"{nets}:wide", *TRAIN, "--batch-size", "32", "--json").code == 0


@STEPS
@pytest.mark.slow
def test_integers_among_the_parameters_are_left_as_they_are(cvexp, lab, nets, step):
    outcome = cvexp("train", f"{nets}:integers", *TRAIN, "--step", step, "--json")
    assert outcome.code == 0, outcome.stderr


@pytest.mark.parametrize("factory", ["pairs", "of_integers"])
def test_a_model_that_takes_no_image_or_gives_no_logits_is_refused_where_it_is_shown(cvexp, lab, nets, factory):
    outcome = cvexp("models", f"{nets}:{factory}", "--dataset", "digits")
    assert outcome.code == 2, outcome.stderr
    assert REFUSED[factory] in outcome.stderr
    assert len(outcome.stderr.splitlines()) <= 3


@pytest.mark.slow
def test_layers_that_take_their_shape_from_the_first_image_are_trained_and_described(cvexp, lab, nets):
    assert cvexp("train", f"{nets}:lazy", *TRAIN, "--batch-size", "33", "--json").code == 0
    outcome = cvexp("models", f"{nets}:lazy", "--dataset", "digits", "--json")
    assert outcome.document["parameters"] == 64 * 10 + 10 + 20 + 10 * 10 + 10


def test_a_class_as_a_default_argument_is_shown_in_json(cvexp, lab, nets):
    outcome = cvexp("models", f"{nets}:activated", "--dataset", "digits", "--json")
    assert outcome.code == 0, outcome.stderr
    assert "ReLU" in json.dumps(outcome.document["arguments"]["activation"])


@pytest.mark.parametrize("factory", ["tied", "unused", "wide", "normalised"])
def test_the_parameters_of_the_layers_add_up_to_the_total(cvexp, lab, nets, factory):
    outcome = cvexp("models", f"{nets}:{factory}", "--dataset", "digits", "--json")
    assert outcome.code == 0, outcome.stderr
    layers = outcome.document["layers"]
    assert sum(layer["parameters"] for layer in layers) == outcome.document["parameters"]
    if factory == "tied":
        assert outcome.document["parameters"] == 64 * 64 + 64 + 64 + 650 + 10
        assert [layer["parameters"] for layer in layers if layer["name"] == "second"] == [64]


@pytest.mark.slow
def test_arguments_that_may_be_given_by_position_too_are_known(cvexp, lab, nets):
    outcome = cvexp("train", f"{nets}:wide", *TRAIN, "--model-arg", "dropout=0.5", "--json")
    assert outcome.code == 0, outcome.stderr
    run = MlflowClient(lab.settings.tracking_uri).get_run(outcome.document["run_id"])
    assert run.data.params["model_args.dropout"] == "0.5"
    assert "hidden_units" not in cvexp("models", f"{nets}:wide", "--dataset", "digits", "--json").document["arguments"]
    assert "image_shape" in refused(cvexp, lab, f"{nets}:wide", *TRAIN, "--model-arg", "image_shape=3")


@pytest.mark.parametrize("argument", ["label=\udcff", "\udcff=1", "label=a\udc80b"])
@pytest.mark.parametrize("verb", ["train", "models"])
def test_bytes_that_are_no_text_are_refused_in_one_line(cvexp, lab, nets, verb, argument):
    words = TRAIN if verb == "train" else ("--dataset", "digits")
    before = n_runs(lab)
    outcome = cvexp(verb, f"{nets}:named", *words, "--model-arg", argument)
    assert outcome.code == 2, outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert len(outcome.stderr.splitlines()) <= 3
    assert "UTF-8" in outcome.stderr
    assert n_runs(lab) == before
