"""A format is one module and one line of the registry, also where its files hold no torch module."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from cvexp import checkpoint
from cvexp.errors import ConfigError, WeightsError
from cvexp.export.card import card_path, load_card
from cvexp.export.formats import ExportOptions, exporter_of
from cvexp.runs import EXPORT_SUFFIXES


class Matrices:
    """The layers of a linear model, applied one after the other: what stands for another runtime."""

    def __init__(self, layers, transform):
        self.layers, self.transform = [torch.tensor(values) for values in layers], transform

    def logits(self, images):
        found = self.transform(images).flatten(1)
        for weight, bias in zip(self.layers[::2], self.layers[1::2], strict=True):
            found = functional.linear(found, weight, bias)
        return found


class MatricesExporter:
    def write(self, path, model, spec, **_):
        assert spec.model == "linear"
        content = json.dumps([parameter.tolist() for parameter in model.parameters()]).encode()
        return checkpoint.write(path, content)

    def read(self, path, spec, **_):
        return Matrices(json.loads(checkpoint.read_verified(path, sha256=spec.weights_sha256)), spec.transform)


@pytest.fixture
def exported(monkeypatch, lab, cvexp, tmp_path):
    """A run of the lab in a format that was registered a moment ago, and what `export` answered."""
    monkeypatch.setitem(EXPORT_SUFFIXES, "json-matrices", ".matrix")
    monkeypatch.setitem(sys.modules, "cvexp.export.json_matrices", SimpleNamespace(EXPORTER=MatricesExporter()))
    out = tmp_path / "linear.matrix"
    answer = cvexp(
        "export", lab.runs["linear"].run_id, "--format", "json-matrices", "--out", str(out), "--no-bench", "--json"
    )
    assert answer.code == 0, answer.stderr
    return out, answer.document


def test_a_new_format_is_exported_with_parity_and_works_in_every_verb(exported, cvexp):
    out, answer = exported
    assert answer["compared_images"] == 360
    evaluated = cvexp("evaluate", str(out), "--device", "cpu", "--json")
    assert (evaluated.code, evaluated.document["matches"]) == (0, True)
    assert cvexp("confmat", str(out), "--out", str(out.with_name("c.png"))).code == 0
    assert cvexp("predict", str(out), "--out", str(out.with_name("p.png"))).code == 0


def test_a_file_without_a_torch_module_is_not_exported_again(exported, cvexp):
    out, _ = exported
    refused = cvexp("export", str(out))
    assert refused.code == 2
    assert "holds no weights to rebuild a model with" in refused.stderr


def test_a_file_that_gives_other_logits_fails_the_gate(exported, lab, cvexp, monkeypatch):
    logits = Matrices.logits
    monkeypatch.setattr(Matrices, "logits", lambda self, images: logits(self, images) + 1e-3)
    failed = cvexp("export", lab.runs["linear"].run_id, "--format", "json-matrices", "--out", str(exported[0]))
    assert failed.code == 4
    assert "does not give what" in failed.stderr


@pytest.mark.parametrize("name", EXPORT_SUFFIXES)
def test_every_registered_format_has_an_exporter(name):
    assert callable(exporter_of(name).write)
    assert callable(exporter_of(name).read)


def test_the_nearest_format_is_suggested():
    with pytest.raises(ConfigError, match="unknown export format: 'safetensor'") as caught:
        exporter_of("safetensor")
    assert "safetensors" in str(caught.value.hints)


@pytest.mark.parametrize("name", ["state-dict", "safetensors"])
@pytest.mark.parametrize(
    ("options", "flag"),
    [
        (ExportOptions(raw=True), "--raw"),
        (ExportOptions(calibration=torch.zeros(1, 1, 8, 8, dtype=torch.uint8)), "--quantize"),
    ],
    ids=["raw", "int8"],
)
def test_a_file_of_weights_has_no_options_of_a_program(tmp_path, name, options, flag):
    path = tmp_path / f"model{EXPORT_SUFFIXES[name]}"
    with pytest.raises(ConfigError, match=f"{flag} means nothing for {path.suffix}"):
        exporter_of(name).write(path, torch.nn.Linear(2, 2), None, options=options)
    assert not path.exists()


def test_a_card_of_version_1_is_read_and_one_that_mixes_versions_is_refused(lab, cvexp, tmp_path):
    out = tmp_path / "linear.pt"
    assert cvexp("export", lab.runs["linear"].run_id, "--out", str(out)).code == 0
    card = load_card(out)
    document = json.loads(card_path(out).read_text(encoding="utf-8"))
    assert (document["schema_version"], document["quantized"], document["raw"]) == (2, "", False)
    old = {key: value for key, value in document.items() if key not in ("quantized", "raw")} | {"schema_version": 1}
    card_path(out).write_text(json.dumps(old), encoding="utf-8")
    assert load_card(out) == replace(card, schema_version=2)
    card_path(out).write_text(json.dumps(document | {"schema_version": 1, "quantized": "int8"}), encoding="utf-8")
    with pytest.raises(WeightsError, match="schema_version 1 has neither"):
        load_card(out)
