"""Programs as they are shipped: proven by their own runtimes, usable in every verb, and caught where broken."""

from __future__ import annotations

import copy

import pytest
import torch

from cvexp.export import program
from cvexp.jobs import export
from cvexp.jobs.export_plan import Wanted
from cvexp.runs import EXPORT_SUFFIXES

PROGRAMS = ("onnx", "torch-export")
pytestmark = pytest.mark.slow


def exported(lab, *formats, **wanted):
    asked = Wanted(formats=formats, **{"bench": False, "log": False, **wanted})
    return export.run(lab.runs["tinyvgg"].run_id, lab.settings, data_dir=lab.folder / "data", wanted=asked)


@pytest.mark.parametrize("raw", [False, pytest.param(True, marks=pytest.mark.campaign)], ids=["whole", "raw"])
def test_programs_give_every_image_the_class_of_their_run_and_work_in_every_verb(lab, cvexp, tmp_path, raw):
    result = exported(lab, *PROGRAMS, raw=raw, out=tmp_path)
    assert [one.format for one in result.files] == list(PROGRAMS)
    for file in result.files:
        assert (file.kept, file.top1_agreement, file.accuracy) == (True, 1.0, result.accuracy)
        assert file.max_logit_difference < 1e-4
        name = str(file.path)
        evaluated = cvexp("evaluate", name, "--device", "cpu", "--json")
        assert (evaluated.code, evaluated.document["matches"]) == (0, True), evaluated.stderr
        for verb in ("confmat", "predict"):
            done = cvexp(verb, name, "--device", "cpu", "--out", str(tmp_path / "x.png"))
            assert done.code == 0, done.stderr
        assert cvexp("bench", name, "--batch", "1", "--device", "cpu").code == 0
        refused = cvexp("explain", name, "--out", str(tmp_path))
        assert refused.code == 2
        assert lab.runs["tinyvgg"].run_id[:12] in refused.stderr
        assert len(refused.stderr.splitlines()) <= 3


def test_an_int8_file_is_measured_beside_its_fp32_one_and_evaluates_as_it_was_proven(lab, cvexp, tmp_path):
    out = tmp_path / "m.onnx"
    result = exported(lab, "onnx", quantize=True, keep_slower=True, bench=None, tolerance=0.05, out=out)
    fp32, int8 = result.files
    assert (fp32.kept, int8.kept) == (True, True)
    assert int8.max_logit_difference > fp32.max_logit_difference
    assert min(fp32.latency.p50.value, int8.latency.p50.value, fp32.load_ms, int8.peak_bytes) > 0
    evaluated = cvexp("evaluate", str(tmp_path / "m-int8.onnx"), "--device", "cpu", "--json")
    assert (evaluated.code, evaluated.document["matches"]) == (0, True), evaluated.stderr


def edited_weights(monkeypatch):
    captured = program.captured

    def other(model, spec, *, raw, **_):
        edited = copy.deepcopy(model)
        with torch.no_grad():
            list(edited.parameters())[-1][:2] += 1
        return captured(edited, spec, raw=raw)

    monkeypatch.setattr(program, "captured", other)


def wrong_normalisation(monkeypatch):
    def forward(self, images):
        logits = self.network(images.to(torch.float32) / 127.5 - 1)
        return logits, torch.softmax(logits, 1)

    monkeypatch.setattr(program.Deployed, "forward", forward)


def dropped_softmax(monkeypatch):
    def forward(self, images):
        logits = self.network(images.to(torch.float32) / 255)
        return logits, logits + 0

    monkeypatch.setattr(program.Deployed, "forward", forward)


def probabilities_for_logits(monkeypatch):
    def forward(self, images):
        probabilities = torch.softmax(self.network(images.to(torch.float32) / 255), 1)
        return probabilities, probabilities + 0

    monkeypatch.setattr(program.Deployed, "forward", forward)


@pytest.mark.parametrize("format_name", PROGRAMS)
@pytest.mark.parametrize(
    "breaking",
    [edited_weights, wrong_normalisation, dropped_softmax, probabilities_for_logits],
    ids=lambda f: f.__name__,
)
def test_a_broken_program_is_caught(lab, tmp_path, monkeypatch, format_name, breaking):
    breaking(monkeypatch)
    (file,) = exported(lab, format_name, out=tmp_path / f"m{EXPORT_SUFFIXES[format_name]}").files
    assert not file.passed
    assert file.path.name.endswith(".failed")
    assert not (tmp_path / f"m{EXPORT_SUFFIXES[format_name]}").exists()
