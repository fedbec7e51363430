"""The transform a model was trained with is applied wherever its outputs are needed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch

from cvexp import load_model
from cvexp.config import run_config
from cvexp.data import dataset as datasets
from cvexp.data.registry import find_spec
from cvexp.data.transforms import Transform
from cvexp.inference.evaluate import score
from cvexp.jobs import evaluate, export, predict, train
from cvexp.jobs.export_plan import Wanted
from cvexp.jobs.source import load_trained
from cvexp.runs import EXPORT_SUFFIXES
from cvexp.settings import store_settings

TRANSFORM = Transform(mean=(0.3,), std=(0.4,))


@pytest.fixture
def run_id(record, tmp_path, monkeypatch, request):
    """A run that was trained on standardized images."""
    load = datasets.load
    config = run_config({"model": request.param, "dataset": "digits", "device": "cpu", "epochs": 1})
    with monkeypatch.context() as patched:
        patched.setattr(datasets, "load", lambda *a, **k: replace(load(*a, **k), transform=TRANSFORM))
        return train.run(config, store_settings(), data_dir=tmp_path, command=["cvexp"]).run_id


@pytest.mark.parametrize(("run_id", "tolerance"), [("linear", 0), ("tinyvgg", 1e-6)], indirect=["run_id"])
@pytest.mark.slow
def test_evaluate_predict_exported_files_and_the_logged_model_agree_bit_for_bit(run_id, tolerance, tmp_path):
    settings = store_settings()
    test = datasets.load(find_spec("digits"), tmp_path).test
    with torch.inference_mode():
        model = load_model(run_id)
        # Memory of its own: convolutions sum in another order where the stride of a single channel differs.
        expected = model(TRANSFORM(test.images, out=torch.empty(test.images.shape)))
        assert not torch.allclose(expected, model(Transform()(test.images)))

    predicted = predict.of_test_images(run_id, settings, data_dir=tmp_path, wrong=False, out=tmp_path / "grid.png")
    for prediction in predicted.predictions:
        assert prediction.logits == tuple(expected[int(prediction.image)].tolist())

    files = [
        export.run(
            run_id, settings, data_dir=tmp_path, wanted=Wanted(formats=(name,), out=tmp_path / f"m{suffix}")
        ).files[0]
        for name, suffix in EXPORT_SUFFIXES.items()
        if name in ("state-dict", "safetensors")  # a program sums in another order
    ]
    assert [file.identical for file in files] == [True, True]
    for file in files:
        assert torch.equal(load_trained(str(file.path), settings).predictor.logits(test.images), expected)

    logged = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    assert np.array_equal(logged.predict(test.images.numpy()), expected.numpy())

    names = tuple(map(str, range(10)))
    # `evaluate` lays convolutions out as training does, which sums in another order.
    figures = score(expected.t(), test.labels, class_names=names)
    for source in (run_id, *(str(file.path) for file in files)):
        evaluated = evaluate.run(source, settings, data_dir=tmp_path, device_name="cpu")
        assert evaluated.matches is True
        assert evaluated.evaluation.metrics.loss == pytest.approx(figures.metrics.loss, rel=0, abs=tolerance)
        assert np.array_equal(evaluated.evaluation.predictions, figures.predictions)


@pytest.mark.parametrize("run_id", ["linear"], indirect=True)
def test_a_file_that_the_version_before_exported_is_read(run_id, tmp_path):
    settings = store_settings()
    path = export.run(run_id, settings, data_dir=tmp_path, wanted=Wanted(out=tmp_path / "m.pt")).files[0].path
    card = Path(f"{path}.json")
    document = json.loads(card.read_text())
    del document["spec"]["transform"]
    document["spec"] |= {"preprocessing": "uint8 / 255", "schema_version": 1}
    card.write_text(json.dumps(document))
    images = datasets.load(find_spec("digits"), tmp_path).test.images
    with torch.inference_mode():
        expected = load_model(run_id)(Transform()(images))
    assert torch.equal(load_trained(str(path), settings).predictor.logits(images), expected)
