"""The whole card on real digits: data, train three models, compare, evaluate, confmat, predict, export, reload."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import torch

from cvexp import compare, load_model
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.data.transforms import Transform

MODELS = {
    "linear": (),
    "mlp": ("--model-arg", "output_relu=false"),
    "tinyvgg": ("--optimizer", "adam", "--lr", "0.003"),
}


@pytest.mark.slow
def test_the_whole_card(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cvexp("data", "mnist-5k", "--json").document["image_shape"] == [1, 28, 28]

    names = {}
    for model, words in MODELS.items():
        trained = cvexp("train", model, "--dataset", "mnist-5k", "--epochs", "2", "--device", "cpu", *words, "--json")
        assert trained.code == 0, trained.stderr
        names[model] = trained.document["run_name"]

    compared = cvexp("compare", "--plot", "compare.png", "--json").document["runs"]
    accuracy = {run["run_name"]: run["metrics"]["test/accuracy"] for run in compared}
    assert list(accuracy.values()) == sorted(accuracy.values(), reverse=True)
    assert set(accuracy) == set(names.values())
    assert compared[0]["run_name"] == names["tinyvgg"]
    assert min(accuracy.values()) > 0.8

    evaluated = cvexp("evaluate", names["tinyvgg"], "--device", "cpu", "--json").document
    assert evaluated["matches"] is True

    confused = cvexp("confmat", "@best", "--normalize", "true", "--json").document
    assert np.allclose(np.sum(confused["matrix"], axis=1), 1)
    assert confused["logged_as"] == "confusion_matrix_true.png"
    worst = confused["most_confused"][0]
    assert worst["count"] >= confused["most_confused"][-1]["count"] > 0

    grid = cvexp("predict", "@best", "--json").document
    assert len(grid["predictions"]) == 9
    wrong = cvexp("predict", "@best", "--wrong", "--json").document
    rows = list(csv.DictReader(Path("wrong.csv").read_text().splitlines()))
    n_wrong = round(1000 * (1 - accuracy[names["tinyvgg"]]))
    assert len(rows) == len(wrong["predictions"]) == n_wrong
    confidences = [float(row["probability"]) for row in rows]
    assert confidences == sorted(confidences, reverse=True)
    assert all(row["truth"] != row["prediction"] for row in rows)

    for weights_format, suffix in (("state-dict", ".pt"), ("safetensors", ".safetensors")):
        exported = cvexp("export", "@best", "--format", weights_format, "--json").document
        assert exported["path"] == f"models/{names['tinyvgg']}{suffix}"
        assert exported["identical"] is True
        again = cvexp("evaluate", exported["path"], "--device", "cpu", "--json")
        assert (again.code, again.document["matches"]) == (0, True)
        assert again.document["metrics"] == evaluated["metrics"]

    test = load(find_spec("mnist-5k"), tmp_path).test
    with torch.inference_mode():
        images = Transform()(test.images)
        logits = [load_model(source)(images) for source in ("@best", f"models/{names['tinyvgg']}.safetensors")]
    assert torch.equal(*logits)
    assert (logits[0].argmax(dim=1) == test.labels).double().mean() == accuracy[names["tinyvgg"]]
    assert list(compare()["name"]) == list(accuracy)

    pictures = ("compare.png", "confusion_matrix_true.png", "predictions.png", "wrong.png")
    assert all(Path(picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "other"])
def test_a_tampered_export_is_refused(suffix, damage, cvexp, lab, tmp_path):
    out = tmp_path / f"model{suffix}"
    weights_format = "safetensors" if suffix == ".safetensors" else "state-dict"
    assert cvexp("export", lab.runs["linear"].run_id, "--out", str(out), "--format", weights_format).code == 0
    content = bytearray(out.read_bytes())
    if damage == "flip":
        content[-40] ^= 1
    elif damage == "cut":
        content = content[:-10]
    elif damage == "empty":
        content = bytearray()
    else:
        other = tmp_path / f"other{suffix}"
        assert cvexp("export", lab.runs["mlp"].run_id, "--out", str(other), "--format", weights_format).code == 0
        content = bytearray(other.read_bytes())
    out.write_bytes(content)
    for verb in ("evaluate", "predict", "confmat"):
        refused = cvexp(verb, str(out))
        assert refused.code == 2
        assert str(out) in refused.stderr
        assert len(refused.stderr.splitlines()) <= 3
