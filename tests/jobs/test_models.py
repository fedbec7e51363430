from __future__ import annotations

import sys

import pytest


def described(cvexp, *words):
    outcome = cvexp("models", *words, "--json")
    assert outcome.code == 0, outcome.stderr
    return outcome.document


def test_a_model_is_described_layer_by_layer_with_what_is_trained(cvexp):
    found = described(cvexp, "tinyvgg")
    assert found["parameters"] == found["trainable_parameters"] == 7740
    first = found["layers"][0]
    assert (first["name"], first["input_shape"], first["output_shape"]) == ("block_1.0", [1, 28, 28], [10, 28, 28])
    assert first["trainable_parameters"] == first["parameters"] == 100


@pytest.mark.parametrize("depth", ["1", "2", "9"])
def test_blocks_add_up_to_the_whole_at_every_depth(cvexp, depth):
    found = described(cvexp, "tinyvgg", "--depth", depth, "--freeze", "1")
    layers = found["layers"]
    for total in ("parameters", "trainable_parameters", "macs"):
        assert sum(layer[total] for layer in layers) == found[total]
    assert found["trainable_parameters"] == 7740 - 1010
    if depth == "1":
        names = [(layer["name"], layer["input_shape"], layer["output_shape"]) for layer in layers]
        assert names == [
            ("block_1", [1, 28, 28], [10, 14, 14]),
            ("block_2", [10, 14, 14], [10, 7, 7]),
            ("classifier", [10, 7, 7], [10]),
        ]
        assert [layer["trainable_parameters"] for layer in layers] == [0, 1820, 4910]


def test_what_is_frozen_is_shown(cvexp, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    outcome = cvexp("models", "tinyvgg", "--depth", "1", "--freeze", "1")
    rows = {line.split()[0]: line for line in outcome.stdout.splitlines() if line.strip()}
    assert " no " in rows["block_1"]
    assert " yes " in rows["block_2"]
    assert "6,730" in rows["all"]
    assert max(map(len, outcome.stdout.splitlines())) <= 80


def test_images_of_another_size_can_be_asked_for(cvexp):
    assert described(cvexp, "tinyvgg", "--image-size", "64")["image_shape"] == [1, 64, 64]


@pytest.mark.parametrize("words", [("--depth", "1"), ("--freeze", "1"), ("--model-arg", "a=1")])
def test_what_needs_a_model_is_refused_without_one(cvexp, words):
    outcome = cvexp("models", *words)
    assert outcome.code == 2
    assert f"{words[0]} needs a model" in outcome.stderr
    assert len(outcome.stderr.splitlines()) <= 3


def test_all_models_are_listed_by_pattern_with_their_parameters(cvexp):
    outcome = cvexp("models", "--all", "torchvision:squeeze*")
    assert outcome.code == 0, outcome.stderr
    assert [line.split() for line in outcome.stdout.splitlines() if "squeezenet" in line] == [
        ["torchvision:squeezenet1_0", "740,554"],
        ["torchvision:squeezenet1_1", "727,626"],
    ]
    found = described(cvexp, "--all", "squeezenet1_1")
    assert {"name": "torchvision:squeezenet1_1", "parameters": 727626} in found["of_libraries"]


def test_all_models_without_a_pattern_are_names_alone(cvexp, monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    found = described(cvexp, "--all")
    assert {model["name"] for model in found["models"]} >= {"linear", "mlp", "tinyvgg"}
    assert len(found["of_libraries"]) > 50
    assert {one["parameters"] for one in found["of_libraries"]} == {None}
    assert "timm is not installed: pip install cvexp[timm]" in cvexp("models", "--all").stderr


def test_a_pattern_that_no_name_has_is_refused(cvexp):
    outcome = cvexp("models", "--all", "no-such-model")
    assert outcome.code == 2
    assert "'no-such-model'" in outcome.stderr
