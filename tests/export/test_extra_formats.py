"""Formats whose libraries come with an extra: the same answers as the model, and nothing of a stranger's file."""

from __future__ import annotations

import json
import shutil
import sys
import zipfile
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from cvexp import checkpoint
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec as find_dataset
from cvexp.errors import ConfigError, DeviceError, ModelError, WeightsError
from cvexp.export import own_files
from cvexp.export.extras import MissingExtraError
from cvexp.export.formats import ExportOptions, exporter_of
from cvexp.export.parity import compare_logits, why_it_fails, why_probabilities_fail
from cvexp.inference.packed import packed, unpacked
from cvexp.inference.predictor import TorchPredictor
from cvexp.jobs import export
from cvexp.jobs.export_plan import Wanted
from cvexp.models.registry import build, find_entry
from cvexp.models.spec import ModelSpec
from cvexp.runs import EXPORT_SUFFIXES

CPU = torch.device("cpu")
EXTRAS = ("openvino", "executorch")
MEMBERS = ("model.xml", "model.bin", "cvexp.json")


def needs(name):
    return pytest.mark.skipif(find_spec(name) is None, reason=f"pip install 'cvexp[{name}]'")


FORMATS = [pytest.param(name, marks=needs(name)) for name in EXTRAS]


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load(find_dataset("digits"), tmp_path_factory.mktemp("data"))


def fitted(name, digits, *, steps=20):
    """A model after a few steps of training, and its specification."""
    torch.manual_seed(0)
    model = build(find_entry(name), image_shape=(1, 8, 8), n_classes=10, hidden_units=10, model_args={})
    spec = ModelSpec(
        model=name,
        model_args={},
        hidden_units=10,
        image_shape=(1, 8, 8),
        class_names=digits.class_names,
        dataset="digits",
        dataset_digest=digits.digest,
        weights_sha256="",
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for start in range(0, 64 * steps, 64):
        rows = torch.arange(start, start + 64) % len(digits.train)
        loss = torch.nn.functional.cross_entropy(
            model(spec.transform(digits.train.images[rows])), digits.train.labels[rows]
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), spec


def written(tmp_path, format_name, model, spec, **options):
    path = tmp_path / f"model{EXPORT_SUFFIXES[format_name]}"
    digest = exporter_of(format_name).write(path, model, spec, options=ExportOptions(**options))
    return path, replace(spec, weights_sha256=digest)


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize(
    "network",
    [
        pytest.param(("linear", False), marks=pytest.mark.slow),
        pytest.param(("mlp", True), marks=pytest.mark.slow),
        pytest.param(("tinyvgg", False), marks=pytest.mark.slow),
        pytest.param(("torchvision:resnet18", False), marks=pytest.mark.campaign),  # half a minute
    ],
    ids=["linear", "mlp-raw", "tinyvgg", "resnet18"],
)
def test_every_test_image_gets_the_class_of_the_model(tmp_path, digits, format_name, network, capfd):
    name, raw = network
    model, spec = fitted(name, digits)
    path, spec = written(tmp_path, format_name, model, spec, raw=raw)
    predictor = exporter_of(format_name).read(path, spec, device=CPU)
    wanted = TorchPredictor(model, spec.transform, CPU).logits(digits.test.images)
    found = predictor.logits(digits.test.images)
    parity = compare_logits(wanted, found, digits.test.labels)
    assert why_it_fails(parity, quantized=False) == ""
    assert (parity.top1_agreement, parity.n_images, predictor.signature.raw) == (1.0, 360, raw)
    rounding = 1e-5 * max(1.0, parity.largest_logit)  # bfloat16 would be a hundred times it
    assert parity.max_logit_difference < rounding
    assert why_probabilities_fail(found[:50], predictor.probabilities(digits.test.images[:50])) == ""
    for n_threads in (1, 2, 1):
        with predictor.prepared(digits.test.images[:3], n_threads=n_threads) as predict:
            assert torch.allclose(
                predict(digits.test.images[:3]), wanted[:3], atol=1e-5 * max(1.0, parity.largest_logit)
            )
    assert not [word for word in (b"site-packages", str(Path.cwd()).encode()) if word in path.read_bytes()]
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_file_works_in_every_verb_and_is_not_served(lab, cvexp, tmp_path, format_name):
    asked = Wanted(formats=(format_name,), bench=False, log=False, out=tmp_path / f"m{EXPORT_SUFFIXES[format_name]}")
    result = export.run(lab.runs["linear"].run_id, lab.settings, data_dir=lab.folder / "data", wanted=asked)
    (file,) = result.files
    assert (file.kept, file.top1_agreement, file.accuracy) == (True, 1.0, result.accuracy)
    name = str(file.path)
    evaluated = cvexp("evaluate", name, "--device", "cpu", "--json")
    assert (evaluated.code, evaluated.document["matches"]) == (0, True), evaluated.stderr
    for verb in ("confmat", "predict"):
        done = cvexp(verb, name, "--device", "cpu", "--out", str(tmp_path / "x.png"))
        assert done.code == 0, done.stderr
    assert cvexp("bench", name, "--batch", "1", "--device", "cpu").code == 0
    refused = cvexp("serve", name, "--port", "0")
    assert refused.code == 2
    assert len(refused.stderr.splitlines()) <= 3, refused.stderr
    assert lab.runs["linear"].run_id[:12] in refused.stderr


@pytest.mark.slow
@needs("openvino")
def test_an_openvino_file_is_an_ir_that_openvino_reads_anywhere_and_tells_nobody(tmp_path, digits, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    model, spec = fitted("linear", digits)
    path, spec = written(tmp_path, "openvino", model, spec, run_id="r" * 32)
    with zipfile.ZipFile(path) as archive:
        assert sorted(archive.namelist()) == sorted(MEMBERS)
        archive.extractall(tmp_path)
    said = json.loads((tmp_path / "cvexp.json").read_text(encoding="utf-8"))
    assert (said["cvexp.run_id"], said["cvexp.image_shape"]) == ("r" * 32, "[1, 8, 8]")
    from cvexp.inference.openvino_predictor import library

    compiled = library().compile_model(tmp_path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    images = digits.test.images[:7]
    answer = torch.from_numpy(compiled({"images": images.numpy()})["logits"])
    assert torch.allclose(answer, TorchPredictor(model, spec.transform, CPU).logits(images), atol=1e-5)
    assert not (tmp_path / "home").exists()
    assert not [name for name in sys.modules if name.startswith("openvino_telemetry.")]


@pytest.mark.slow
@needs("openvino")
def test_an_openvino_file_that_was_altered_and_given_a_new_digest_is_refused(tmp_path, digits):
    model, spec = fitted("linear", digits)
    path, spec = written(tmp_path, "openvino", model, spec)
    read, content = exporter_of("openvino").read, path.read_bytes()
    members = unpacked(content, MEMBERS, origin="m", remedy="")

    def given(**changes):
        altered = packed({**members, **{f"model.{end}": value for end, value in changes.items()}})
        return replace(spec, weights_sha256=checkpoint.write(path, altered))

    xml = members["model.xml"]
    for new, reason in {
        xml.replace(b'type="MatMul"', b'type="Mine"'): "the layer 'Mine'",
        xml.replace(b'"?,1,8,8"', b'"2,1,8,8"'): "has other inputs and outputs",
        xml.replace(b'"?,1,8,8"', b'"?,1,9000000,9000000"'): "asks for too much memory: 'Parameter'",
        xml.replace(b'names="logits"', b'names="probabilities"'): "has other inputs and outputs",
        xml.replace(b'transpose_b="true"', b'transpose_b="false"'): "holds layers that do not fit",
    }.items():
        assert new != xml
        with pytest.raises(WeightsError, match=reason) as caught:
            read(path, given(xml=new), device=CPU)
        assert len(caught.value.lines()) <= 3
    with pytest.raises(WeightsError, match="a constant has"):
        read(path, given(bin=members["model.bin"][:-4]), device=CPU)
    with pytest.raises(WeightsError, match="takes other images"):
        read(path, replace(given(), image_shape=(1, 8, 9)), device=CPU)
    with pytest.raises(DeviceError, match="on the CPU, and not on meta"):
        read(path, spec, device=torch.device("meta"))
    path.write_bytes(content[:-1])
    with pytest.raises(WeightsError, match="damaged or altered"):
        read(path, spec, device=CPU)


class Indexed(torch.nn.Module):
    def forward(self, x):
        x = x.flatten(1)
        x[:, 0] = 2 * x[:, 1]
        return x[:, :10]


@pytest.mark.slow
@needs("openvino")
def test_a_model_with_layers_that_are_not_read_again_is_not_written(tmp_path, digits):
    _, spec = fitted("linear", digits, steps=0)
    with pytest.raises(ModelError, match="it has the layer 'Scatter") as caught:
        written(tmp_path, "openvino", Indexed(), replace(spec, model="own:indexed"))
    assert "--format onnx" in str(caught.value.hints)
    assert not list(tmp_path.iterdir())


@needs("executorch")
def test_an_executorch_file_that_another_user_exported_is_not_read_though_its_card_has_its_digest(
    tmp_path, monkeypatch, digits
):
    _, spec = fitted("linear", digits, steps=0)
    path = tmp_path / "stranger.pte"
    spec = replace(spec, weights_sha256=checkpoint.write(path, b"ET12 anything"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    with pytest.raises(WeightsError, match="was not exported by you on this machine") as caught:
        exporter_of("executorch").read(path, spec, device=CPU)
    assert len(caught.value.lines()) == 2
    own_files.remember(spec.weights_sha256)
    with pytest.raises(WeightsError, match="cannot be run by ExecuTorch"):
        exporter_of("executorch").read(path, spec, device=CPU)
    shutil.rmtree(tmp_path / "state")
    with pytest.raises(WeightsError, match="was not exported by you"):
        own_files.check_own(path, sha256=spec.weights_sha256, runtime="ExecuTorch", remedy="export again")


@pytest.mark.parametrize("format_name", EXTRAS)
def test_without_its_extra_a_format_is_refused_and_names_it(tmp_path, digits, monkeypatch, format_name):
    monkeypatch.setitem(sys.modules, format_name, None)
    model, spec = fitted("linear", digits, steps=0)
    for call in (
        lambda: written(tmp_path, format_name, model, spec),
        lambda: exporter_of(format_name).read(tmp_path / "m", spec, device=CPU),
    ):
        with pytest.raises(
            MissingExtraError, match=f"needs the package {format_name}, which is not installed"
        ) as caught:
            call()
        assert caught.value.hints == (f"pip install 'cvexp[{format_name}]'",)
    assert not list(tmp_path.iterdir())


def test_all_leaves_out_what_is_not_installed_in_one_line_on_stderr(lab, cvexp, tmp_path, monkeypatch):
    for name in ("onnx", "torch-export"):  # programs take seconds
        monkeypatch.delitem(EXPORT_SUFFIXES, name)
    for name in EXTRAS:
        monkeypatch.setitem(sys.modules, name, None)
    done = cvexp("export", lab.runs["linear"].run_id, "--all", "--out", str(tmp_path), "--no-log")
    assert done.code == 0
    line = "left out, not installed: executorch, openvino   (pip install 'cvexp[executorch,openvino]')"
    assert line in done.stderr.splitlines()
    assert "not installed" not in done.stdout
    told = cvexp("export", lab.runs["linear"].run_id, "--all", "--out", str(tmp_path), "--no-log", "--json").document
    assert [one["kind"] for one in told["left_out"]] == list(EXTRAS)


@pytest.mark.parametrize("format_name", FORMATS)
def test_int8_is_refused(tmp_path, format_name):
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    with pytest.raises(ConfigError, match=rf"--quantize means nothing for \{EXPORT_SUFFIXES[format_name]}"):
        written(tmp_path, format_name, torch.nn.Identity(), None, calibration=images)
