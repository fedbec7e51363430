"""`cvexp train --config` and `--print-config`: what is in effect, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from cvexp.config import RunConfig

FILE = "model: mlp\nepochs: 2\nlr: 0.00001\nmodel_args: {output_relu: false}\ndevice: cpu\n"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "run.yaml"
    path.write_text(FILE)
    return str(path)


def printed(cvexp, *words):
    shown = cvexp("train", *words, "--print-config")
    assert (shown.code, shown.stderr) == (0, "")
    return shown.stdout


def test_flags_beat_the_file_and_the_file_beats_the_defaults(cvexp, file, tmp_path):
    shown = cvexp("train", "--config", file, "--epochs", "4", "--seed", "42", "--print-config", "--json")
    document = {name: tuple(one.values()) for name, one in shown.document.items() if name != "schema_version"}
    assert set(document) == set(RunConfig.__dataclass_fields__) - {"model_args"} | {"model_args.output_relu"}
    assert document["epochs"] == (4, "flag")
    assert document["seed"] == (42, "flag")
    assert document["lr"] == (1e-5, "file")
    assert document["model_args.output_relu"] == (False, "file")
    assert document["optimizer"] == ("sgd", "default")
    assert list(tmp_path.iterdir()) == [tmp_path / "run.yaml"]


def test_defaults_that_depend_on_others_are_printed_as_they_are_in_effect(cvexp, file):
    lines = printed(cvexp, "mlp", "--optimizer", "adam").splitlines()
    assert "lr: 0.001  # default" in lines
    assert lines[-2:] == ["model_args:", "  output_relu: true  # default"]


def test_what_is_printed_can_be_read_back(cvexp, file, tmp_path):
    first = printed(cvexp, "--config", file, "--model-arg", "output_relu=true", "--limit", "300")
    again = tmp_path / "again.yaml"
    again.write_text(first)
    second = printed(cvexp, "--config", str(again))
    assert yaml.safe_load(second) == yaml.safe_load(first)
    assert {line.rpartition("# ")[2] for line in second.splitlines()} == {"file", "model_args:"}


@pytest.mark.parametrize(
    ("text", "words", "complaint"),
    [
        ("epoch: 3", (), "unknown key 'epoch'"),
        ("[linear]", (), "a mapping is wanted"),
        ("model: {", (), "is not YAML"),
        ("epochs: many", ("linear",), "run.yaml: --epochs many:"),
        ("epochs: yes", ("linear",), "run.yaml: --epochs: expected an integer, got true"),
        ("epochs: 1", (), "MODEL is missing"),
        ("epochs: many", ("linear", "--epochs", "0"), "error: --epochs 0:"),
        ("model: linear", ("--resume", "@last"), "--config cannot be given with --resume"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(text, words, complaint, cvexp, file):
    Path(file).write_text(text)
    refused = cvexp("train", *words, "--config", file)
    assert (refused.code, refused.stdout) == (2, "")
    assert complaint in refused.stderr
    assert len(refused.stderr.splitlines()) <= 3


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("tinyvg",), "unknown model: 'tinyvg'"),
        (("mlp", "--model-arg", "depth=3"), "unknown argument of mlp"),
        (("--resume", "@last"), "--print-config cannot be given with --resume"),
    ],
)
def test_settings_that_could_not_be_trained_are_not_printed(words, complaint, cvexp, file):
    refused = cvexp("train", *words, "--print-config")
    assert (refused.code, refused.stdout) == (2, "")
    assert complaint in refused.stderr


@pytest.mark.slow
def test_a_file_is_trained(cvexp, file):
    outcome = cvexp("train", "linear", "--config", file, "--dataset", "digits", "--model-arg", "x=1", "--json")
    assert outcome.code == 2  # the file's argument is mlp's
    outcome = cvexp("train", "--config", file, "--dataset", "digits", "--epochs", "1", "--json")
    assert outcome.code == 0, outcome.stderr
    document = json.loads(outcome.stdout)
    assert (document["model"], document["dataset"], document["epochs"]) == ("mlp", "digits", 1)
