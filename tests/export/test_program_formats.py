"""Exported programs answer as the model does, for any number of images, wherever they run."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
import torch
from torch import nn

from cvexp import checkpoint
from cvexp.data.transforms import Transform
from cvexp.errors import ConfigError, DeviceError, ModelError, WeightsError
from cvexp.export.formats import ExportOptions, exporter_of
from cvexp.inference.predictor import TorchPredictor
from cvexp.models.registry import build, find_entry
from cvexp.models.spec import ModelSpec
from cvexp.runs import EXPORT_SUFFIXES
from cvexp.settings import VERSION

CPU = torch.device("cpu")
FORMATS = ["onnx", "torch-export"]
MODELS = {
    "linear": (1, 9, 7),
    "mlp": (1, 9, 7),
    "tinyvgg": (3, 16, 16),
    "torchvision:resnet18": (3, 32, 32),
    "timm:tf_efficientnet_lite0": (3, 64, 64),
}


def spec_of(model, shape):
    channels = shape[0]
    return ModelSpec(
        model=model,
        model_args={},
        hidden_units=10,
        image_shape=shape,
        class_names=("ö", "b", "c"),
        dataset="tiny",
        dataset_digest="d" * 16,
        weights_sha256="e" * 64,
        transform=Transform(mean=(0.25,) * channels, std=(0.5,) * channels),
    )


def built(name):
    torch.manual_seed(1)
    model = build(find_entry(name), image_shape=MODELS[name], n_classes=3, hidden_units=10, model_args={}).eval()
    return model, spec_of(name, MODELS[name])


def images_of(shape, n_images):
    return torch.randint(0, 256, (n_images, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(2))


def written(tmp_path, format_name, model, spec, **options):
    path = tmp_path / f"model{EXPORT_SUFFIXES[format_name]}"
    digest = exporter_of(format_name).write(path, model, spec, options=ExportOptions(**options))
    return path, replace(spec, weights_sha256=digest)


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("raw", [False, True], ids=["whole", "raw"])
@pytest.mark.parametrize("name", MODELS)
def test_logits_are_the_models_for_any_number_of_images(tmp_path, format_name, name, raw):
    model, spec = built(name)
    path, spec = written(tmp_path, format_name, model, spec, raw=raw)
    predictor = exporter_of(format_name).read(path, spec, device=CPU)
    assert predictor.signature.raw == raw
    for n_images in (1, 2, 500 if MODELS[name][1] < 32 else 9):
        images = images_of(MODELS[name], n_images)
        wanted = TorchPredictor(model, spec.transform, CPU).logits(images)
        tolerance = 1e-5 * max(1.0, float(wanted.abs().max()))  # float32 sums err in proportion to what is summed
        assert torch.allclose(predictor.logits(images), wanted, atol=tolerance, rtol=0)
        assert torch.allclose(predictor.probabilities(images), wanted.softmax(1), atol=1e-5)


class Own(nn.Module):
    """A user's network: normalization, attention, an operation in place, and sizes computed from the input."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Conv2d(1, 8, 4, stride=4)
        self.norm = nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = self.norm(x)
        x = x + self.attention(x, x, x, need_weights=False)[0]
        x[:, 0] *= self.scale
        return self.head(x.reshape(x.shape[0], -1, 8).mean(1))


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_users_own_module_is_exported_and_left_as_it_was(tmp_path, format_name):
    torch.manual_seed(3)
    model, spec = Own().train(), spec_of("package.module:own", (1, 16, 16))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    path, spec = written(tmp_path, format_name, model, spec)
    assert model.training
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    images = images_of((1, 16, 16), 5)
    wanted = TorchPredictor(model, spec.transform, CPU).logits(images)
    predictor = exporter_of(format_name).read(path, spec, device=CPU)
    assert torch.allclose(predictor.logits(images), wanted, atol=1e-5)


class DependsOnPixels(nn.Module):
    def forward(self, x):
        return x.flatten(1)[:, :3] if x.sum() > 0 else x.flatten(1)[:, 3:6]


class DependsOnBatch(nn.Module):
    def forward(self, x):
        return x.reshape(2, -1)[:, :3]


@pytest.mark.slow
@pytest.mark.parametrize("model", [DependsOnPixels(), DependsOnBatch()], ids=["pixels", "batch"])
@pytest.mark.parametrize("format_name", FORMATS)
def test_a_module_that_cannot_be_traced_is_refused_in_three_lines(tmp_path, format_name, model, capfd):
    with pytest.raises(ModelError, match="own:model cannot be exported as a program") as caught:
        written(tmp_path, format_name, model, spec_of("own:model", (1, 8, 8)))
    assert len(caught.value.lines()) == 3
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_an_onnx_file_passes_the_checker_and_says_what_it_is(tmp_path, capfd):
    model, spec = built("tinyvgg")
    path, _ = written(tmp_path, "onnx", model, spec, run_id="r" * 32)
    again, _ = written(tmp_path, "onnx", model, spec, run_id="r" * 32)
    assert path.read_bytes() == again.read_bytes()
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert [(one.domain, one.version) for one in proto.opset_import] == [("", 18)]
    said = {one.key: one.value for one in proto.metadata_props}
    assert said == {
        "cvexp.classes": '["ö", "b", "c"]',
        "cvexp.image_shape": "[3, 16, 16]",
        "cvexp.fitting": '{"resize": "squeeze", "interpolation": "bilinear"}',
        "cvexp.transform": '{"mean": [0.25, 0.25, 0.25], "std": [0.5, 0.5, 0.5]}',
        "cvexp.raw": "false",
        "cvexp.quantized": "",
        "cvexp.run_id": "r" * 32,
        "cvexp.weights_sha256": "e" * 64,
        "cvexp.version": VERSION,
    }
    assert str(Path.cwd()).encode() not in path.read_bytes()
    assert b"site-packages" not in path.read_bytes()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_torch_export_archive_says_what_it_is_and_nothing_of_the_code_it_comes_from(tmp_path, capfd):
    model, spec = built("tinyvgg")
    path, _ = written(tmp_path, "torch-export", model, spec, run_id="r" * 32)
    with zipfile.ZipFile(path) as archive:
        document = json.loads(archive.read("archive/extra/cvexp.json"))
        assert (document["cvexp.run_id"], document["cvexp.image_shape"]) == ("r" * 32, "[3, 16, 16]")
        assert not any(b".py" in archive.read(name) for name in archive.namelist() if name.endswith(".json"))
    program = torch.export.load(io.BytesIO(path.read_bytes()))
    logits, probabilities = program.module()(images_of((3, 16, 16), 7))
    assert (logits.shape, probabilities.shape) == ((7, 3), (7, 3))
    assert capfd.readouterr() == ("", "")


ALONE = """
import json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "cvexp"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import numpy, onnxruntime
session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
images = numpy.load("images.npy")
logits, probabilities = session.run(None, {"images": images})
numpy.savez("answer.npz", logits=logits, probabilities=probabilities)
print(json.dumps(session.get_modelmeta().custom_metadata_map["cvexp.classes"]))
"""


@pytest.mark.slow
def test_an_onnx_file_runs_where_neither_cvexp_nor_torch_can_be_imported(tmp_path):
    import numpy as np

    model, spec = built("tinyvgg")
    written(tmp_path, "onnx", model, spec)
    images = images_of((3, 16, 16), 11)
    np.save(tmp_path / "images.npy", images.numpy())
    done = subprocess.run(
        [sys.executable, "-I", "-c", ALONE],
        cwd=tmp_path,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "b" in json.loads(json.loads(done.stdout))
    answer, wanted = np.load(tmp_path / "answer.npz"), TorchPredictor(model, spec.transform, CPU).logits(images)
    assert np.abs(answer["logits"] - wanted.numpy()).max() < 1e-5
    assert np.abs(answer["probabilities"] - wanted.softmax(1).numpy()).max() < 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("format_name", FORMATS)
def test_altered_files_and_cards_of_other_models_are_refused(tmp_path, format_name):
    model, spec = built("linear")
    path, spec = written(tmp_path, format_name, model, spec)
    read, content = exporter_of(format_name).read, path.read_bytes()
    with pytest.raises(WeightsError, match="takes other images"):
        read(path, replace(spec, image_shape=(1, 9, 8)), device=CPU)
    with pytest.raises(WeightsError, match="takes other images"):
        read(path, replace(spec, class_names=("a", "b")), device=CPU)
    with pytest.raises(DeviceError, match=r"not on meta|does not run on meta"):
        read(path, spec, device=torch.device("meta"))
    path.write_bytes(content[:-1])
    with pytest.raises(WeightsError, match="damaged or altered"):
        read(path, spec, device=CPU)
    cut = replace(spec, weights_sha256=checkpoint.write(path, content[: len(content) // 2]))
    with pytest.raises(WeightsError):
        read(path, cut, device=CPU)


@pytest.mark.slow
def test_code_that_torch_itself_would_run_from_an_archive_does_not_run(tmp_path, monkeypatch):
    model, spec = built("linear")
    path, spec = written(tmp_path, "torch-export", model, spec)
    monkeypatch.chdir(tmp_path)
    altered = io.BytesIO()
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(altered, "w") as after:
        for info in before.infolist():
            content = before.read(info)
            if info.filename.endswith("models/model.json"):
                old, new = b"Symbol('s", b"__import__('pathlib').Path('ran').touch() or Symbol('s"
                assert old in content
                content = content.replace(old, new)
            after.writestr(info.filename, content)
    digest = checkpoint.write(path, altered.getvalue())
    with pytest.raises(WeightsError, match="has the text"):
        exporter_of("torch-export").read(path, replace(spec, weights_sha256=digest), device=CPU)
    assert not (tmp_path / "ran").exists()
    torch.export.load(io.BytesIO(altered.getvalue()))
    assert (tmp_path / "ran").exists(), "the code was live"


def test_int8_is_refused_where_the_format_has_none(tmp_path):
    images = torch.zeros(1, 1, 9, 7, dtype=torch.uint8)
    with pytest.raises(ConfigError, match=r"--quantize means nothing for \.pt2"):
        written(tmp_path, "torch-export", nn.Identity(), spec_of("linear", (1, 9, 7)), calibration=images)
