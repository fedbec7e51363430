"""The logged model: readable without cvexp, beside others, over http, and with nothing in it that could run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvexp.models import serving
from cvexp.models.registry import BUILTIN
from cvexp.tracking import model as logged_model
from cvexp.tracking.store import open_store

LOAD = """
import json, sys
import numpy as np
import mlflow

class NoCvexp:
    def find_spec(self, name, *_):
        if name == "cvexp" or name.startswith("cvexp."):
            raise ImportError("cvexp is not installed here")

sys.meta_path.insert(0, NoCvexp())
images = np.load("images.npy")
answers = [mlflow.pyfunc.load_model(uri).predict(images) for uri in sys.argv[1:]]
print(json.dumps([[a.dtype.name, a.astype(float).tolist()] for a in answers]))
print(json.dumps(sorted(n for n in sys.modules if n.startswith("cvexp_model_") and "." not in n)))
"""


@pytest.fixture(scope="module")
def images(_lab):
    """Five random 8x8 images, as files and as an array."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 1, 8, 8), dtype=np.uint8)
    np.save(_lab.folder / "images.npy", pixels)
    for i, image in enumerate(pixels):
        Image.fromarray(image[0]).save(_lab.folder / f"image{i}.png")
    return [f"image{i}.png" for i in range(5)]


def load_elsewhere(lab, *uris):
    done = subprocess.run(
        [sys.executable, "-c", LOAD, *uris],
        cwd=lab.folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": lab.settings.tracking_uri},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers, packages = map(json.loads, done.stdout.splitlines()[-2:])
    return answers, packages


@pytest.mark.slow
def test_logged_models_load_without_cvexp_and_answer_what_predict_does(cvexp, lab, images):
    names = ("linear", "mlp", "tinyvgg")
    answers, _ = load_elsewhere(lab, *(f"runs:/{lab.runs[name].run_id}/model" for name in names))
    for name, (dtype, logits) in zip(names, answers, strict=True):
        predicted = cvexp("predict", lab.runs[name].run_id, *images, "--device", "cpu", "--json").document
        assert dtype == "float32"
        assert logits == [p["logits"] for p in predicted["predictions"]]


@pytest.mark.slow
def test_models_with_different_code_load_side_by_side(lab, images, tmp_path, monkeypatch):
    weights = lab.folder / "mlruns" / "0" / lab.runs["linear"].run_id / "artifacts" / "weights"
    changed = tmp_path / "changed"
    for name in logged_model.OF_WEIGHTS.code:
        (changed / name).parent.mkdir(parents=True, exist_ok=True)
        code = (logged_model.SOURCE / name).read_text()
        (changed / name).write_text(code.replace("torch.cat(logits).numpy()", "torch.cat(logits).numpy() + 1"))
    for name, folder in (("a", logged_model.SOURCE), ("b", changed)):
        monkeypatch.setattr(logged_model, "SOURCE", folder)
        logged_model.write_model(
            tmp_path / name, weights, model_id="m-1", run_id="r", image_shape=(1, 8, 8), n_classes=10
        )
    ((_, plain), (_, shifted)), packages = load_elsewhere(lab, str(tmp_path / "a"), str(tmp_path / "b"))
    assert len(packages) == 2
    assert np.array_equal(np.float32(plain) + np.float32(1), np.float32(shifted))


def test_a_logged_model_carries_no_pickle_but_weights_and_pins_what_it_needs(lab):
    store = open_store(lab.settings, create=False)
    (output,) = store.client.get_run(lab.runs["linear"].run_id).outputs.model_outputs
    model = store.client.get_logged_model(output.model_id)
    folder = Path(model.artifact_location)
    assert (model.status, model.name) == ("READY", "model")
    suffixes = {path.suffix for path in folder.rglob("*") if path.is_file()}
    assert suffixes <= {"", ".py", ".json", ".yaml", ".txt", ".pt"}
    requirements = (folder / "requirements.txt").read_text().split()
    assert {line.split("==")[0] for line in requirements} == {"mlflow", "torch", "numpy"}
    assert all("==" in line for line in requirements)
    metrics = {metric.key: metric for metric in model.metrics}
    assert metrics["test/accuracy"].value == lab.runs["linear"].evaluation.metrics.accuracy
    assert metrics["test/accuracy"].dataset_digest == "7673c1411f0daa6a"


def test_altered_weights_of_a_logged_model_are_refused(lab, tmp_path):
    weights = lab.folder / "mlruns" / "0" / lab.runs["linear"].run_id / "artifacts" / "weights"
    for path in weights.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    content = bytearray((tmp_path / "state_dict.pt").read_bytes())
    content[-40] ^= 1
    (tmp_path / "state_dict.pt").write_bytes(content)
    with pytest.raises(ValueError, match="damaged or altered"):
        serving._load_pyfunc(str(tmp_path))


def test_every_built_in_model_can_be_served():
    assert set(serving.BUILDERS) == {entry.name for entry in BUILTIN}


@pytest.mark.slow
def test_a_model_serves_over_http(cvexp, lab, images):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run_id = lab.runs["tinyvgg"].run_id
    words = ("--env-manager", "local", "-h", "127.0.0.1", "-p", str(port))
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "models", "serve", "-m", f"runs:/{run_id}/model", *words],
        cwd=lab.folder,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": lab.settings.tracking_uri,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        body = json.dumps({"inputs": np.load("images.npy").tolist()}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", data=body, headers={"Content-Type": "application/json"}
        )
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        with urllib.request.urlopen(request, timeout=60) as response:
            served = json.load(response)["predictions"]
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
    predicted = cvexp("predict", run_id, *images, "--device", "cpu", "--json").document["predictions"]
    assert np.array_equal(np.float32(served), np.float32([p["logits"] for p in predicted]))
