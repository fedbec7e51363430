"""A network whose code cvexp cannot ship is logged as an ONNX file, which MLflow loads without cvexp and torch."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient

from cvexp.config import run_config
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.jobs import train
from cvexp.jobs.source import load_trained
from cvexp.models.onnx_serving import _load_pyfunc
from cvexp.runs import UNLOGGED
from cvexp.settings import store_settings
from tests.onnx_files import N_CLASSES, SHAPE, linear_model

NETWORK = """
from torch import nn

def own(image_shape, n_classes, *, hidden_units=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, hidden_units), nn.ReLU(), nn.Linear(hidden_units, n_classes))

class PerPixel(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.layer = nn.Linear(64, n_classes)

    def forward(self, x):
        return self.layer(x.flatten(1)) * (2 if x.sum() > 0 else 1)

def untraceable(image_shape, n_classes, *, hidden_units=10):
    return PerPixel(n_classes)
"""

ALONE = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "cvexp"):
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
import mlflow, numpy
model = mlflow.pyfunc.load_model(sys.argv[1])
numpy.save(sys.argv[3], model.predict(numpy.load(sys.argv[2])))
"""


@pytest.fixture
def trained(record, tmp_path, monkeypatch):
    """Train a network of the user's own for an epoch, into an empty store in the working folder."""
    (tmp_path / "networks.py").write_text(NETWORK)

    def run(factory):
        config = run_config({"model": f"networks:{factory}", "dataset": "digits", "device": "cpu", "epochs": 1})
        return train.run(config, store_settings(), data_dir=tmp_path, command=["cvexp"])

    return run


@pytest.mark.slow
def test_the_logged_model_of_a_users_network_answers_its_logits_without_cvexp_and_torch(trained, tmp_path):
    result = trained("own")
    assert result.unlogged == ""
    client = MlflowClient(store_settings().tracking_uri)
    (model,) = client.search_logged_models(["0"])
    assert model.status == "READY"
    folder = Path(model.artifact_location.removeprefix("file://"))
    assert {path.suffix for path in folder.rglob("*") if path.is_file()}.isdisjoint({".pkl", ".pt", ".pth"})
    required = (folder / "requirements.txt").read_text()
    assert "onnxruntime==" in required
    assert "torch" not in required
    images = load(find_spec("digits"), tmp_path).test.images
    np.save(tmp_path / "images.npy", images.numpy())
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-I", "-c", ALONE, folder, tmp_path / "images.npy", tmp_path / "logits.npy"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    predictor = load_trained(result.run_id, store_settings(), trusted_factory="networks:own").predictor
    assert np.abs(np.load(tmp_path / "logits.npy") - predictor.logits(images).numpy()).max() < 1e-5


@pytest.mark.slow
def test_a_network_that_cannot_be_exported_is_trained_all_the_same_and_the_run_says_why_it_has_no_model(trained):
    result = trained("untraceable")
    assert result.status == "FINISHED"
    assert "networks:untraceable cannot be exported as a program" in result.unlogged
    client = MlflowClient(store_settings().tracking_uri)
    run = client.get_run(result.run_id)
    assert (run.info.status, run.data.tags[UNLOGGED]) == ("FINISHED", result.unlogged)
    assert [model.status for model in client.search_logged_models(["0"])] == ["FAILED"]


@pytest.fixture
def folder(tmp_path):
    content = linear_model()[0].SerializeToString()
    (tmp_path / "model.onnx").write_bytes(content)
    (tmp_path / "model.json").write_text(json.dumps({"weights_sha256": hashlib.sha256(content).hexdigest()}))
    return tmp_path


@pytest.mark.parametrize("n_images", [1, 501])
def test_the_loader_answers_any_number_of_images(folder, n_images):
    images = np.random.default_rng(1).integers(0, 256, (n_images, *SHAPE), dtype=np.uint8)
    logits = _load_pyfunc(str(folder)).predict(images)
    assert (logits.shape, logits.dtype) == ((n_images, N_CLASSES), np.float32)
    wanted = (images.reshape(n_images, -1) / np.float32(255)) @ linear_model()[1].T
    assert np.allclose(logits, wanted, atol=1e-5)


def test_the_loader_refuses_a_file_that_was_altered(folder):
    with (folder / "model.onnx").open("ab") as stream:
        stream.write(b"\x00")
    with pytest.raises(ValueError, match="damaged or altered"):
        _load_pyfunc(str(folder))
