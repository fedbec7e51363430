"""Runs that follow their validation part: they stop early, and keep the best epoch's weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.engine.fit import Fit
from cvexp.errors import ConfigError, RunError
from cvexp.jobs import evaluate, reproduce, resume, train
from cvexp.settings import store_settings
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store

RARE = 0.1
"""The share of the second class below."""


@pytest.fixture
def settings(record):
    return store_settings(record.uri)


def place(tmp_path):
    return {"data_dir": tmp_path, "command": ["cvexp"], "policy": CheckpointPolicy(keep=1)}


def trained(settings, tmp_path, **asked):
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 4, **asked})
    return train.run(config, settings, **place(tmp_path))


@pytest.fixture
def planted(monkeypatch):
    """Have the weights be best after epoch 2: the later rates undo what was learnt."""
    evaluated = Fit._evaluated

    def worse(self, metrics):
        if self._epoch > 2:
            with torch.no_grad():
                for parameter in self._model.parameters():
                    parameter.zero_()
        return evaluated(self, metrics)

    monkeypatch.setattr(Fit, "_evaluated", worse)


@pytest.mark.slow
def test_the_best_epochs_weights_are_tested_and_stored(settings, tmp_path, planted):
    result = trained(settings, tmp_path, keep_best=True)
    val = [epoch.held_out.metrics.accuracy for epoch in result.history]
    assert result.best_epoch == 2
    assert val[1] > 0.7
    assert val[3] < 0.3
    assert result.evaluation.metrics.accuracy > 0.7
    (run,) = search(open_store(settings, create=False))
    assert run.metrics["val/accuracy"] == result.metrics()["val/accuracy"] == val[1]
    assert run.metrics["test/accuracy"] == result.evaluation.metrics.accuracy
    assert run.tags["cvexp.best_epoch"] == "2"
    history = MlflowClient(settings.tracking_uri).get_metric_history(run.run_id, "val/accuracy")
    assert [point.value for point in history][:4] == val
    again = evaluate.run(run.run_id, settings, data_dir=tmp_path)
    assert again.evaluation.metrics == result.evaluation.metrics
    checked = reproduce.run(run.run_id, settings, data_dir=tmp_path, check=True)
    assert checked.check.bit_for_bit
    assert {figure.metric for figure in checked.check.figures} > {"val/accuracy", "test/accuracy"}


@pytest.mark.slow
def test_a_run_stops_early_says_why_and_cannot_be_trained_on(settings, tmp_path, planted):
    result = trained(settings, tmp_path, early_stop=1, epochs=9, schedule="cosine", warmup_epochs=1)
    assert [len(result.history), result.config.epochs, result.best_epoch] == [3, 3, None]
    reason = "after 3 of 9 epochs: validation accuracy was not better than after epoch 2 (--early-stop 1)"
    assert result.stopped == reason
    (run,) = search(open_store(settings, create=False))
    assert (run.settings["epochs"], run.asked["epochs"], run.params["val_split"]) == ("3", "9", "0.1")
    with pytest.raises(ConfigError, match="the schedule cosine was planned for 9 epochs"):
        resume.run(run.run_id, settings, epochs=20, **place(tmp_path))
    with pytest.raises(RunError, match="--early-stop 1 ended it after 3 epochs"):
        resume.run(run.run_id, settings, **place(tmp_path))
    checked = reproduce.run(run.run_id, settings, data_dir=tmp_path, check=True)
    assert checked.check.bit_for_bit
    assert "--epochs 9" in checked.equivalent


@pytest.mark.slow
def test_enough_patience_changes_no_figure(settings, tmp_path):
    patient = trained(settings, tmp_path, early_stop=9, keep_best=True, epochs=3)
    plain = trained(settings, tmp_path, val_split=0.1, epochs=3)
    assert [e.keyed()["train/loss"] for e in patient.history] == [e.keyed()["train/loss"] for e in plain.history]
    assert patient.stopped == ""


@pytest.fixture
def imbalanced(tmp_path, monkeypatch):
    """Two classes, one of them rare; a model that never predicts it after epoch 1, and one that finds it after epoch 2.

    Images of the rare class are bright, and so are a fifth of the others: the second model is right about fewer images,
    and about more classes.
    """
    draw = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 600), ("test", 200)):
        labels = np.arange(n) % round(1 / RARE) == 0
        bright = labels | (draw.random(n) < 0.2)
        arrays[f"x_{split}"] = np.where(bright, 200, 20).astype(np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
        arrays[f"y_{split}"] = labels.astype(np.int64)
    np.savez(tmp_path / "rare.npz", **arrays, class_names=["usual", "rare"])
    evaluated = Fit._evaluated

    def planned(self, metrics):
        hidden, _, weight, bias = self._model.parameters()
        with torch.no_grad():
            for parameter in self._model.parameters():
                parameter.zero_()
            bias[0] = 1.0
            if self._epoch == 2:  # the first hidden unit is the mean of the pixels
                hidden[0] = 1.0 / hidden.shape[1]
                weight[1, 0] = 4.0
        return evaluated(self, metrics)

    monkeypatch.setattr(Fit, "_evaluated", planned)
    return {"dataset": f"npz:{tmp_path}/rare.npz", "val_split": 0.2, "epochs": 3}


@pytest.mark.slow
@pytest.mark.parametrize(("monitor", "best_epoch"), [("accuracy", 1), ("balanced-accuracy", 2), ("macro-f1", 2)])
def test_the_figure_that_is_monitored_chooses_the_epoch_that_is_stored(
    settings, tmp_path, imbalanced, monitor, best_epoch
):
    result = trained(settings, tmp_path, **imbalanced, keep_best=True, monitor=monitor)
    figures = [epoch.held_out.metrics for epoch in result.history]
    assert figures[0].accuracy == pytest.approx(1 - RARE, abs=0.01)
    assert figures[0].accuracy > figures[1].accuracy
    assert figures[0].balanced_accuracy == 0.5
    assert figures[1].balanced_accuracy > 0.85
    assert figures[0].macro_f1 < figures[1].macro_f1
    assert result.best_epoch == best_epoch
    (run,) = search(open_store(settings, create=False))
    for split, measured in (("val", figures[best_epoch - 1]), ("test", result.evaluation.metrics)):
        assert run.metrics[f"{split}/balanced_accuracy"] == measured.balanced_accuracy
        assert run.metrics[f"{split}/macro_f1"] == measured.macro_f1
    points = MlflowClient(settings.tracking_uri).get_metric_history(run.run_id, "val/balanced_accuracy")
    assert [point.value for point in points][:3] == [one.balanced_accuracy for one in figures]


@pytest.mark.slow
def test_a_run_that_stops_early_names_the_figure_that_was_no_better(settings, tmp_path, imbalanced, cvexp):
    dataset = imbalanced["dataset"]
    words = ("--dataset", dataset, "--epochs", "9", "--early-stop", "1", "--monitor", "macro-f1", "--device", "cpu")
    done = cvexp("train", "linear", *words)
    assert done.code == 0, done.stderr
    why = "after 3 of 9 epochs: validation macro F1 was not better than after epoch 2 (--early-stop 1)"
    assert why in " ".join(done.stdout.split())
    assert "by the validation split's macro F1, 0.1 of the training images: stops after 1 epoch" in done.stderr
    assert "acc 90.00% balanced 50.00%" in done.stderr
    assert "balanced accuracy" in done.stdout
    assert "macro F1" in cvexp("evaluate", "@last").stdout
