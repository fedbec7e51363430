"""An exported file in node, where neither Python nor cvexp is: the same logits."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("predict.mjs")
NODE, NPM = shutil.which("node"), shutil.which("npm")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not (NODE and NPM), reason="node and npm are not installed")]


@pytest.fixture(scope="module", params=["onnxruntime-node", "onnxruntime-web"])
def runtime(tmp_path_factory, request):
    """A folder in which node finds the package."""
    folder = tmp_path_factory.mktemp("node")
    shutil.copy(SCRIPT, folder)
    (folder / "package.json").write_text("{}")
    done = subprocess.run(
        [NPM, "install", "--no-audit", "--no-fund", request.param],
        cwd=folder,
        env={**os.environ, "ONNXRUNTIME_NODE_INSTALL_CUDA": "skip"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"npm cannot install {request.param}: {done.stderr.strip().splitlines()[-1:]}")
    return folder, request.param


@pytest.mark.parametrize("name", ["linear", "mlp", "tinyvgg"])
def test_node_answers_as_python_does(runtime, lab, name, tmp_path):
    import torch

    from cvexp.export.formats import ExportOptions, exporter_of
    from cvexp.jobs.source import load_trained

    folder, package = runtime
    trained = load_trained(lab.runs[name].run_id, lab.settings)
    images = np.random.default_rng(2).integers(0, 256, (7, *trained.card.spec.image_shape), dtype=np.uint8)
    options = ExportOptions(run_id=trained.card.run_id)
    exporter_of("onnx").write(tmp_path / "model.onnx", trained.model, trained.card.spec, options=options)
    (tmp_path / "images").write_bytes(images.tobytes())
    words = [package, str(tmp_path / "model.onnx"), str(tmp_path / "images"), ",".join(map(str, images.shape))]
    done = subprocess.run([NODE, "predict.mjs", *words], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    expected = trained.predictor.logits(torch.from_numpy(images)).numpy()
    found = np.reshape(answer["logits"], expected.shape)
    assert np.abs(found - expected).max() < 1e-5
    probabilities = np.reshape(answer["probabilities"], expected.shape)
    np.testing.assert_allclose(probabilities, torch.from_numpy(expected).softmax(1).numpy(), atol=1e-5)
