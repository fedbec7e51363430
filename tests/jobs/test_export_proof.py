"""Every exported file is read back and proven on the whole test split; a broken one is never shipped."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional

from cvexp import checkpoint
from cvexp.errors import ConfigError
from cvexp.export.card import load_card
from cvexp.export.weights import WeightsExporter
from cvexp.inference.latency.figures import Measured, Ratio
from cvexp.inference.latency.times import BatchTimes
from cvexp.jobs import export
from cvexp.jobs.export_plan import Planned, Wanted
from cvexp.jobs.source import load_trained
from cvexp.runs import EXPORT_SUFFIXES
from tests.exported import times

N_TEST = 360


class Matrices:
    """Stands for another runtime: the layers of a linear model, their scale of the pixels, and what comes behind."""

    def __init__(self, content):
        self.scale, self.output = content["scale"], content["output"]
        self.layers = [torch.tensor(values) for values in content["layers"]]

    def logits(self, images):
        found = images.flatten(1) * self.scale
        for weight, bias in zip(self.layers[::2], self.layers[1::2], strict=True):
            found = functional.linear(found, weight, bias)
        return found.softmax(dim=1) if self.output == "probabilities" else found


class MatricesExporter:
    """Writes JSON; an int8 file has its weights rounded to as many steps as `steps`."""

    steps = 127
    variants = ("int8", "raw")

    def write(self, path, model, spec, *, options):
        if spec.model != "linear":
            raise ConfigError("matrices are for linear models", "choose another format")
        layers = [parameter.detach().clone() for parameter in model.parameters()]
        if options.calibration is not None:
            self.calibration = options.calibration
            size = layers[0].abs().max() / self.steps
            layers[0] = (layers[0] / size).round() * size
        content = {"layers": [one.tolist() for one in layers], "scale": 1 / 255, "output": "logits"}
        return checkpoint.write(path, json.dumps(self.changed(content)).encode())

    def changed(self, content):
        return content

    def read(self, path, spec, **_):
        return Matrices(json.loads(checkpoint.read_verified(path, sha256=spec.weights_sha256)))


@pytest.fixture
def matrices(monkeypatch):
    """A format that was registered a moment ago."""
    exporter = MatricesExporter()
    monkeypatch.setitem(EXPORT_SUFFIXES, "matrices", ".matrix")
    monkeypatch.setitem(sys.modules, "cvexp.export.matrices", SimpleNamespace(EXPORTER=exporter))
    return exporter


def exported(lab, *formats, model="linear", **wanted):
    asked = Wanted(formats=formats, **{"bench": False, "log": False, **wanted})
    return export.run(lab.runs[model].run_id, lab.settings, data_dir=lab.folder / "data", wanted=asked)


def test_a_file_is_compared_on_all_test_images_and_has_its_run_beside_it(lab, matrices, tmp_path):
    result = exported(lab, "matrices", out=tmp_path / "m.matrix")
    (file,) = result.files
    assert load_card(file.path).metrics["test/accuracy"] == file.accuracy
    assert result.n_images == N_TEST
    assert result.accuracy == pytest.approx(lab.runs["linear"].metrics()["test/accuracy"])
    assert (file.accuracy, file.accuracy_difference) == (result.accuracy, 0.0)
    assert (file.passed, file.kept, file.top1_agreement, file.n_ties) == (True, True, 1.0, 0)
    assert file.max_logit_difference < 1e-5
    assert file.n_bytes == file.path.stat().st_size
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.matrix", "m.matrix.json"]


def edited(weight, bias):
    return [weight[::-1], bias]


BROKEN = {
    "edited weights": lambda content: {
        **content,
        "layers": [*content["layers"][:-2], *edited(*content["layers"][-2:])],
    },
    "a weight that moved a little": lambda content: {**content, "scale": content["scale"] * 1.002},
    "wrong normalisation": lambda content: {**content, "scale": 1 / 16},
    "dropped softmax": lambda content: {**content, "output": "probabilities"},
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_export_is_caught_and_nothing_is_left_under_its_name(how, lab, matrices, cvexp, tmp_path):
    matrices.changed = BROKEN[how]
    out = tmp_path / "m.matrix"
    words = ("export", lab.runs["linear"].run_id, "--format", "matrices", "--out", str(out), "--no-log", "--json")
    failed = cvexp(*words)
    assert failed.code == 4, failed.stderr
    lines = failed.stderr.splitlines()
    assert len(lines) <= 3
    assert lines[0].startswith("error: matrices does not give what ")
    (file,) = failed.document["files"]
    assert (file["passed"], file["kept"]) == (False, False)
    assert file["reason"] in failed.stderr
    assert file["path"] == f"{out}.failed"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.matrix.failed", "m.matrix.failed.json"]
    assert cvexp("evaluate", file["path"]).code == 2


def test_weights_that_were_edited_while_they_were_written_are_caught(lab, cvexp, tmp_path, monkeypatch):
    def edited(self, path, model, spec, *, options):
        other = copy.deepcopy(model)
        with torch.no_grad():
            next(other.parameters()).mul_(-1)
        return write(self, path, other, spec, options=options)

    write = WeightsExporter.write
    monkeypatch.setattr(WeightsExporter, "write", edited)
    failed = cvexp("export", lab.runs["linear"].run_id, "--out", str(tmp_path / "m.pt"))
    assert failed.code == 4
    assert "another class" in failed.stderr
    assert not (tmp_path / "m.pt").exists()


def test_a_file_that_cannot_be_read_back_fails_and_is_gone(lab, cvexp, tmp_path, monkeypatch):
    monkeypatch.setattr(WeightsExporter, "write", lambda _, path, *_a, **_k: checkpoint.write(path, b"nothing"))
    failed = cvexp("export", lab.runs["linear"].run_id, "--out", str(tmp_path / "m.pt"))
    assert failed.code == 4
    assert "m.pt cannot be read back" in failed.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_failure_leaves_the_good_file_of_before_alone(lab, matrices, tmp_path, monkeypatch):
    out = tmp_path / "m.matrix"
    exported(lab, "matrices", out=out)
    before = out.read_bytes()
    monkeypatch.setattr(matrices, "changed", BROKEN["edited weights"])
    (file,) = exported(lab, "matrices", out=out).files
    assert not file.passed
    assert out.read_bytes() == before


def test_a_tolerance_accepts_what_it_names(lab, matrices, tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "changed", BROKEN["a weight that moved a little"])
    (file,) = exported(lab, "matrices", out=tmp_path / "m.matrix", tolerance=0.02).files
    assert file.kept
    assert file.max_logit_difference > 1e-4


def test_several_formats_are_files_of_one_folder(lab, matrices, tmp_path):
    result = exported(lab, "matrices", "safetensors", "matrices", "state-dict", out=tmp_path / "all")
    name = lab.runs["linear"].run_name
    assert [one.kind for one in result.files] == ["matrices", "safetensors", "state-dict"]
    assert {one.path for one in result.files} == {
        tmp_path / "all" / f"{name}{end}" for end in (".matrix", ".safetensors", ".pt")
    }


def test_all_is_every_format_that_can_run_and_says_why_the_others_cannot(lab, matrices, tmp_path, monkeypatch):
    for name in {*EXPORT_SUFFIXES} - {"state-dict", "safetensors", "matrices"}:  # programs take seconds
        monkeypatch.delitem(EXPORT_SUFFIXES, name)
    every = exported(lab, out=tmp_path / "linear")
    assert {one.kind for one in every.files} == {*EXPORT_SUFFIXES}
    some = exported(lab, model="mlp", out=tmp_path / "mlp")
    assert {one.kind for one in some.files} == {*EXPORT_SUFFIXES} - {"matrices"}
    assert [(one.kind, one.reason) for one in some.left_out] == [("matrices", "matrices are for linear models")]
    with pytest.raises(ConfigError, match="matrices are for linear models"):
        exported(lab, "state-dict", "matrices", model="mlp", out=tmp_path / "none")
    assert list((tmp_path / "none").iterdir()) == []


def test_a_variant_of_all_formats_is_written_where_a_format_has_it(lab, matrices, tmp_path, monkeypatch):
    for name in {*EXPORT_SUFFIXES} - {"state-dict", "matrices"}:
        monkeypatch.delitem(EXPORT_SUFFIXES, name)
    every = exported(lab, quantize=True, keep_slower=True, out=tmp_path)
    assert [one.kind for one in every.files] == ["state-dict", "matrices", "matrices-int8"]
    assert every.left_out == ()


def times_of(*seconds, busy=False):
    """A measurement in which models take these times."""

    def measured(value):
        return Measured(value=value, low=value * 0.99, high=value * 1.01)

    models = tuple(map(times, seconds))
    pairs = [(a, b) for b in range(len(seconds)) for a in range(b)]
    ratios = tuple(Ratio(a=a, b=b, times=measured(seconds[a] / seconds[b])) for a, b in pairs)
    return (BatchTimes(batch=1, models=models, ratios=ratios, n_rounds=15, n_clean_rounds=15, busy=busy, seconds=1.0),)


@pytest.fixture
def timing(monkeypatch):
    """Sets what the next measurement finds: of the run, then of each file."""
    monkeypatch.setattr("cvexp.jobs.export_proof.peak_bytes", lambda *_a, **_k: 10**8)

    def found(*seconds, busy=False):
        monkeypatch.setattr("cvexp.jobs.bench_process.measure", lambda *_a, **_k: times_of(*seconds, busy=busy))

    return found


INT8 = {  # times of the run, the fp32 and the int8 file; whether the machine was busy; why the file is not kept
    "faster": ((3.0, 2.0, 1.0), False, ""),
    "slower": ((3.0, 2.0, 2.5), False, "it takes 1.25 (1.24 to 1.26) times as long as fp32"),
    "as fast": ((3.0, 2.0, 2.0), False, "it takes 1.00 (0.99 to 1.01) times as long as fp32"),
    "busy": ((3.0, 2.0, 1.0), True, "the machine was too busy to tell whether it is faster than fp32"),
}


@pytest.mark.parametrize("case", INT8)
def test_an_int8_file_is_worth_it_where_it_is_certainly_faster(case):
    seconds, busy, reason = INT8[case]
    fp32, int8 = (SimpleNamespace(planned=Planned(format="onnx", variant=v, path=Path("x"))) for v in ("", "int8"))
    (measured,) = times_of(*seconds, busy=busy)
    assert export._too_slow(int8, [fp32, int8], measured) == reason
    assert export._too_slow(fp32, [fp32, int8], measured) == ""
    assert "did not pass" in export._too_slow(int8, [int8], measured)


@pytest.mark.parametrize("keep_slower", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_an_int8_file_that_is_slower_is_kept_only_where_that_is_wanted(lab, matrices, timing, tmp_path, keep_slower):
    timing(3.0, 2.0, 2.5)
    asked = {"quantize": True, "bench": None, "keep_slower": keep_slower, "out": tmp_path / "m.matrix"}
    result = exported(lab, "matrices", **asked)
    fp32, int8 = result.files
    assert (fp32.kind, int8.kind) == ("matrices", "matrices-int8")
    assert (fp32.kept, int8.passed, int8.kept) == (True, True, keep_slower)
    assert int8.path == (tmp_path / "m-int8.matrix" if keep_slower else None)
    assert (tmp_path / "m-int8.matrix").exists() is keep_slower
    assert (fp32.latency.p50.value, int8.latency.p50.value) == (2.0, 2.5)
    assert (int8.peak_bytes, int8.load_ms > 0) == (10**8, True)
    result.check()  # being slow is no failure


@pytest.mark.slow
def test_an_int8_file_that_loses_accuracy_fails(lab, matrices, timing, tmp_path, monkeypatch):
    monkeypatch.setattr(matrices, "steps", 1)
    timing(3.0, 2.0)
    fp32, int8 = exported(lab, "matrices", quantize=True, bench=None, out=tmp_path / "m.matrix").files
    assert fp32.kept
    assert not int8.passed
    assert "points of accuracy, and 0.5 are allowed" in int8.reason
    assert int8.path == tmp_path / "m-int8.matrix.failed"


def test_ranges_are_measured_on_training_images_alone_and_always_the_same(lab):
    trained = load_trained(lab.runs["tinyvgg"].run_id, lab.settings)
    (dataset, images), (_, again) = (export._data(trained, lab.folder / "data", quantize=True) for _ in range(2))
    assert torch.equal(images, again)
    assert (images.dtype, tuple(images.shape)) == (torch.uint8, (500, 1, 8, 8))
    assert len(dataset.val) > 0
    train = {one.numpy().tobytes() for one in dataset.train.images}
    held_out = {one.numpy().tobytes() for split in (dataset.val, dataset.test) for one in split.images} - train
    drawn = {one.numpy().tobytes() for one in images}
    assert drawn <= train
    assert not drawn & held_out


def test_weights_alone_are_timed_only_when_asked_for(lab, timing, tmp_path):
    assert exported(lab, "state-dict", out=tmp_path / "m.pt", bench=None).own_latency is None
    timing(2.0, 2.0)
    result = exported(lab, "state-dict", out=tmp_path / "m.pt", bench=True)
    assert (result.own_latency.p50.value, result.files[0].latency.p50.value) == (2.0, 2.0)


@pytest.mark.slow
def test_a_new_process_runs_the_file_and_tells_its_peak(lab, tmp_path):
    from cvexp.jobs.export_proof import peak_bytes

    weights, onnx = exported(lab, "safetensors", "onnx", out=tmp_path).files
    images = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    with_torch, without = (peak_bytes(one.path, images, trusted_factory=None) for one in (weights, onnx))
    assert 10**7 < without < with_torch / 2 < 10**10


@pytest.mark.slow
def test_the_card_of_a_variant_says_so(lab, matrices, timing, tmp_path):
    timing(3.0, 2.0, 1.0)
    _, int8 = exported(lab, "matrices", quantize=True, bench=None, out=tmp_path / "m.matrix").files
    (raw,) = exported(lab, "matrices", raw=True, out=tmp_path / "raw.matrix").files
    assert (load_card(int8.path).quantized, load_card(int8.path).raw) == ("int8", False)
    assert (load_card(raw.path).quantized, load_card(raw.path).raw, raw.kind) == ("", True, "matrices-raw")
