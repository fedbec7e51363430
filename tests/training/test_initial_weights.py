from __future__ import annotations

import hashlib
import json
import pickle

import pytest
import torch
from mlflow import MlflowClient
from safetensors.torch import save_file

from cvexp.config import run_config
from cvexp.config.recipe import agree, recipe
from cvexp.errors import ConfigError, WeightsError
from cvexp.models.registry import build, find_entry
from cvexp.training.initial_weights import read, with_digest

DIGITS = (1, 8, 8)


def tinyvgg(n_classes=10, hidden_units=10):
    torch.manual_seed(7)
    return build(
        find_entry("tinyvgg"), image_shape=DIGITS, n_classes=n_classes, hidden_units=hidden_units, model_args={}
    )


def config(path, **settings):
    return run_config({"model": "tinyvgg", "dataset": "digits", "weights": str(path), **settings})


def state_dict(path, model):
    torch.save(model.state_dict(), path)


def tensors(path, model):
    save_file(model.state_dict(), path)


WRITERS = {"w.pt": state_dict, "w.pth": state_dict, "w.safetensors": tensors}


@pytest.mark.parametrize("name", WRITERS)
def test_weights_are_read_from_a_state_dict_and_from_safetensors(tmp_path, name):
    model = tinyvgg()
    WRITERS[name](tmp_path / name, model)
    completed = with_digest(config(tmp_path / name))
    assert completed.weights_sha256 == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    weights = read(completed, find_entry("tinyvgg"))
    assert weights.sha256 == completed.weights_sha256
    assert weights.preprocessing is None
    for key, tensor in model.state_dict().items():
        assert torch.equal(weights.state[key], tensor)


def test_without_weights_there_are_none():
    asked = run_config({"model": "tinyvgg"})
    assert with_digest(asked) is asked
    assert read(asked, find_entry("tinyvgg")) is None


class Malicious:
    def __reduce__(self):
        return (exit, (3,))


BAD = {
    "pickle.pt": pickle.dumps(Malicious()),
    "pickle.pth": pickle.dumps({"a": 1}),
    "text.pt": b"no weights",
    "text.safetensors": b"no weights",
    "empty.pt": b"",
    "header.safetensors": (2**62).to_bytes(8, "little") + b"{}",
}


@pytest.mark.parametrize("name", BAD)
def test_a_file_that_holds_no_weights_is_refused_and_executes_nothing(tmp_path, name):
    (tmp_path / name).write_bytes(BAD[name])
    with pytest.raises(WeightsError, match=f"--weights .*{name}"):
        read(with_digest(config(tmp_path / name)), find_entry("tinyvgg"))


@pytest.mark.parametrize(
    ("name", "complaint"), [("absent.pt", "no such file"), (".", "no such file"), ("a\0b.pt", "no such file")]
)
def test_what_is_no_file_is_refused_before_torch_is_needed(tmp_path, name, complaint):
    with pytest.raises(WeightsError, match=complaint):
        with_digest(config(tmp_path / name))


def test_another_file_than_the_digest_says_is_refused(tmp_path):
    state_dict(tmp_path / "w.pt", tinyvgg())
    with pytest.raises(WeightsError, match="another file than the one asked for") as refused:
        with_digest(config(tmp_path / "w.pt", weights_sha256="0" * 64))
    assert "not 0000000000000000…" in refused.value.hints[0]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"weights_sha256": "0" * 64}, "it is the digest of a file, which --weights names"),
        ({"weights": "default", "weights_sha256": "0" * 64}, "it is the digest of a file"),
        ({"weights": "w.pt", "weights_sha256": "0"}, "64 hexadecimal digits"),
        ({"freeze": "head"}, "features, all-but-head, or how many blocks"),
        ({"freeze": "0"}, "how many blocks"),
        ({"freeze": "-1"}, "how many blocks"),
        ({"freeze": "1.5"}, "how many blocks"),
        ({"cache_features": True}, "it needs --freeze all-but-head"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, complaint):
    with pytest.raises(ConfigError, match=complaint):
        run_config({"model": "tinyvgg", **settings})


def test_a_recipe_knows_weights_by_their_content_not_by_their_name(tmp_path):
    state_dict(tmp_path / "a.pt", tinyvgg())
    (tmp_path / "b.pt").write_bytes((tmp_path / "a.pt").read_bytes())
    state_dict(tmp_path / "c.pt", tinyvgg(hidden_units=9))
    a, b, c = (with_digest(config(tmp_path / name)).params() for name in ("a.pt", "b.pt", "c.pt"))
    assert recipe(a, {}) == recipe(b, {}) != recipe(c, {})
    assert agree(a, b)
    assert not agree(a, c)
    plain = run_config({"model": "tinyvgg", "dataset": "digits"}).params()
    default = run_config({"model": "tinyvgg", "dataset": "digits", "weights": "default"}).params()
    assert len({recipe(one, {}) for one in (a, c, plain, default)}) == 4


def test_a_library_is_needed_for_default_weights():
    with pytest.raises(ConfigError, match="tinyvgg is of no library that publishes any"):
        read(run_config({"model": "tinyvgg", "weights": "default"}), find_entry("tinyvgg"))


def train(cvexp, *words):
    return cvexp("train", "tinyvgg", "--dataset", "digits", "--device", "cpu", "--limit", "64", "--epochs", "1", *words)


def test_a_run_records_its_weights_and_begins_with_them(cvexp, record, tmp_path):
    state_dict(tmp_path / "w.pt", tinyvgg(n_classes=7))
    outcome = train(cvexp, "--weights", "w.pt", "--freeze", "all-but-head", "--json")
    assert outcome.code == 0, outcome.stderr
    assert (
        "w.pt: 8 of 10 tensors; classifier.1.weight, classifier.1.bias new (7 classes there, 10 here)" in outcome.stderr
    )
    assert "410 of them trained" in outcome.stderr
    run = MlflowClient(record.uri).get_run(outcome.document["run_id"])
    digest = hashlib.sha256((tmp_path / "w.pt").read_bytes()).hexdigest()
    assert run.data.tags["cvexp.initial_weights_sha256"] == run.data.params["weights_sha256"] == digest
    assert run.data.tags["cvexp.initial_weights"] == run.data.params["weights"] == "w.pt"
    assert run.data.metrics["model/trainable_parameters"] == 410
    assert outcome.document["metrics"]["model/trainable_parameters"] == 410


def test_weights_that_cannot_be_used_leave_no_run(cvexp, record, tmp_path):
    state_dict(tmp_path / "other.pt", tinyvgg(hidden_units=9))
    (tmp_path / "bad.pt").write_bytes(BAD["pickle.pt"])
    for name in ("other.pt", "bad.pt", "absent.pt"):
        outcome = train(cvexp, "--weights", name)
        assert outcome.code == 2, outcome.stderr
        assert len(outcome.stderr.splitlines()) <= 3
        assert name in outcome.stderr
    assert MlflowClient(record.uri).search_runs(["0"]) == []


@pytest.mark.slow
def test_the_transform_of_a_file_that_cvexp_exported_is_taken_over(cvexp, record, tmp_path):
    assert train(cvexp, "--name", "first").code == 0
    assert cvexp("export", "first", "--out", "w.pt").code == 0
    card = json.loads((tmp_path / "w.pt.json").read_text())
    card["spec"]["transform"] = {"mean": [0.25], "std": [0.5]}
    (tmp_path / "w.pt.json").write_text(json.dumps(card))
    outcome = train(cvexp, "--weights", "w.pt", "--name", "second", "--json")
    assert outcome.code == 0, outcome.stderr
    run = MlflowClient(record.uri).get_run(outcome.document["run_id"])
    assert json.loads(run.data.tags["cvexp.preprocessing"])["mean"] == [0.25]
    assert cvexp("export", "second", "--out", "v.pt").code == 0
    spec = json.loads((tmp_path / "v.pt.json").read_text())["spec"]
    assert spec["transform"] == {"mean": [0.25], "std": [0.5]}
    assert cvexp("evaluate", "second", "--device", "cpu").code == 0
