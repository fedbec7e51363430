"""What a training leaves out when it is told to, what it says of that, and what can be made later."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from mlflow import MlflowClient

from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.data import DataConfig
from cvexp.data.dataset import load_dataset
from cvexp.data.split import Split
from cvexp.errors import ConfigError, RunError
from cvexp.jobs import confmat, evaluate, resume, train
from cvexp.runs import NOT_MADE
from cvexp.settings import store_settings
from cvexp.training.outputs import EVERYTHING, LEAN, Outputs, outputs_of

NOTHING_MORE = Outputs(test=False, pictures=False, program=False)


@pytest.fixture
def settings(record):
    return store_settings(record.uri)


def trained(settings, tmp_path, outputs, *, dataset=None, **asked):
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 1, **asked})
    policy = CheckpointPolicy(keep=1)
    return train.run(
        config, settings, data_dir=tmp_path, command=["cvexp"], outputs=outputs, policy=policy, dataset=dataset
    )


def files_of(settings, run_id, folder=None):
    return {file.path for file in MlflowClient(settings.tracking_uri).list_artifacts(run_id, folder)}


@pytest.mark.parametrize("outputs", [EVERYTHING, LEAN, NOTHING_MORE, Outputs(pictures=False)])
def test_a_tag_names_what_is_missing_and_is_read_back(outputs):
    assert outputs_of(outputs.tags()) == outputs
    assert outputs_of(outputs.tags({NOT_MADE: "test"})) == outputs
    assert outputs_of({NOT_MADE: "music, pictures"}) == Outputs(pictures=False)


def test_without_a_validation_part_the_test_split_cannot_be_left_alone(settings, tmp_path):
    with pytest.raises(ConfigError, match="nothing is held out"):
        trained(settings, tmp_path, NOTHING_MORE)
    assert MlflowClient(settings.tracking_uri).search_runs(["0"]) == []


def test_a_trial_leaves_weights_and_validation_records_and_nothing_of_the_test_split(settings, tmp_path):
    dataset = load_dataset(DataConfig(dataset="digits", val_split=0.2), tmp_path)
    unfit = Split(images=torch.zeros(5, 1, 3, 3, dtype=torch.uint8), labels=torch.zeros(5, dtype=torch.int64))
    dataset = replace(dataset, test=unfit)  # the model cannot take these images
    result = trained(settings, tmp_path, NOTHING_MORE, val_split=0.2, epochs=2, dataset=dataset)
    assert result.evaluation is None
    run = MlflowClient(settings.tracking_uri).get_run(result.run_id)
    assert not any(key.startswith("test/") for key in run.data.metrics)
    assert {"val/loss", "val/accuracy", "train/loss"} <= run.data.metrics.keys()
    assert run.data.tags[NOT_MADE] == "test, pictures, program"
    assert "test accuracy" not in run.data.tags["mlflow.note.content"]
    assert files_of(settings, result.run_id) == {"weights", "records"}
    assert files_of(settings, result.run_id, "records") == {"records/val.parquet"}
    assert MlflowClient(settings.tracking_uri).search_logged_models(["0"]) == []
    points = MlflowClient(settings.tracking_uri).get_metric_history(result.run_id, "val/loss")
    assert [point.step for point in points] == [1, 2]


@pytest.mark.slow
def test_what_a_lean_run_left_out_is_made_later(settings, tmp_path):
    lean = trained(settings, tmp_path, NOTHING_MORE, val_split=0.2)
    full = trained(settings, tmp_path, EVERYTHING, val_split=0.2)
    found = evaluate.run(lean.run_id, settings, data_dir=tmp_path, device_name="cpu")
    assert found.evaluation.metrics.accuracy == full.evaluation.metrics.accuracy
    drawn = confmat.run(lean.run_id, settings, data_dir=tmp_path, out=tmp_path / "m.png", device_name="cpu")
    assert drawn.accuracy == full.evaluation.metrics.accuracy
    from cvexp.tracking.queries import find
    from cvexp.tracking.registration import logged_model
    from cvexp.tracking.store import open_store

    store = open_store(settings, create=False)
    with pytest.raises(RunError, match="has no logged model: it was left out, as --lean does"):
        logged_model(store, find(store, lean.run_id).run)


@pytest.mark.slow
def test_a_resumed_run_leaves_what_it_began_with(settings, tmp_path):
    lean = trained(settings, tmp_path, LEAN)
    again = {"data_dir": tmp_path, "command": ["cvexp"], "policy": CheckpointPolicy(keep=1)}
    result = resume.run(lean.run_id, settings, epochs=2, **again)
    assert "curves.png" not in files_of(settings, result.run_id)
    whole = resume.run(lean.run_id, settings, epochs=3, outputs=EVERYTHING, **again)
    assert {"curves.png", "predictions.png"} <= files_of(settings, whole.run_id)
    assert MlflowClient(settings.tracking_uri).get_run(whole.run_id).data.tags[NOT_MADE] == "nothing"
