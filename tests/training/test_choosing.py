"""Runs that follow their validation part: they stop early, and keep the best epoch's weights."""

from __future__ import annotations

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
