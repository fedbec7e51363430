"""Runs that end because their time has passed: what they are called, and that they count as trained."""

from __future__ import annotations

import os
import signal

import pytest
from mlflow import MlflowClient

from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.recipe import recipe
from cvexp.errors import ConfigError, Interrupted, RunError
from cvexp.events import STOP, EpochEnded
from cvexp.jobs import experiment, resume, train
from cvexp.report.train import document
from cvexp.runs import ASKED_EPOCHS
from cvexp.settings import store_settings
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store

FILE = "defaults: {{dataset: digits, device: cpu}}\nruns: [{{model: linear, epochs: {epochs}, max_time: {max_time}}}]\n"
SHORT = 1e-6
"""Minutes; the first epoch takes longer."""


@pytest.fixture
def settings(record):
    return store_settings(record.uri)


def trained(settings, tmp_path, observer=None, **asked):
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 4, **asked})
    return train.run(config, settings, observer=observer, **place(tmp_path))


def place(tmp_path):
    return {"data_dir": tmp_path, "command": ["cvexp"], "policy": CheckpointPolicy(keep=1)}


def only_run(settings):
    (run,) = search(open_store(settings, create=False))
    return run


def test_no_epoch_begins_once_the_time_has_passed(settings, tmp_path):
    seen = []
    result = trained(settings, tmp_path, seen.append, max_time=SHORT)
    assert (result.status, len(result.history), result.config.epochs) == ("FINISHED", 1, 1)
    assert result.stopped == "after 1 of 4 epochs: --max-time 1e-06 had passed"
    assert [event.last for event in seen if isinstance(event, EpochEnded)] == [True]
    run = only_run(settings)
    assert run.status == "FINISHED"
    assert run.tags["cvexp.end_reason"] == result.stopped
    assert run.conditions["epochs"] == 1
    assert (run.settings["epochs"], run.asked["epochs"]) == ("1", "4")
    assert run.recipe == recipe(run.params, {})  # repeats may come to other epochs
    assert (document(result)["epochs"], document(result)["stopped"]) == (1, result.stopped)
    assert "weights" in {file.path for file in MlflowClient(settings.tracking_uri).list_artifacts(run.run_id)}


@pytest.mark.slow
def test_enough_time_changes_nothing_but_the_recipe(settings, tmp_path):
    plain = trained(settings, tmp_path)
    limited = trained(settings, tmp_path, max_time=60.0)
    assert [e.train for e in limited.history] == [e.train for e in plain.history]
    assert limited.stopped == ""
    first, second = search(open_store(settings, create=False))
    assert first.recipe != second.recipe
    assert first.comparability_key == second.comparability_key


def test_an_experiment_file_does_not_train_it_again(record, settings, tmp_path):
    ended = {"cvexp.epochs": "1", ASKED_EPOCHS: "4", "cvexp.end_reason": "after 1 of 4 epochs"}
    run_id = record("short", epochs=4, max_time=SHORT, tags=ended)

    def planned(**asked):
        path = tmp_path / "file.yaml"
        path.write_text(FILE.format(**asked))
        (step,) = experiment.plan(path, tracking_uri=record.uri).steps
        return step.done and step.done.run_id

    assert planned(epochs=4, max_time=SHORT) == run_id
    assert planned(epochs=1, max_time=SHORT) is None
    assert planned(epochs=4, max_time=2 * SHORT) is None
    assert planned(epochs=4, max_time="null") is None


@pytest.mark.slow
def test_an_experiment_file_with_a_limit_trains_once(cvexp, record, tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(FILE.format(epochs=4, max_time=SHORT))
    assert cvexp("run", str(path), "--json").document["trained"] == 1
    assert cvexp("run", str(path), "--json").document["trained"] == 0


@pytest.mark.slow
def test_an_observers_stop_is_no_lack_of_time(settings, tmp_path):
    result = trained(settings, tmp_path, lambda _: STOP, max_time=SHORT)
    assert result.stopped == ""
    assert only_run(settings).asked["epochs"] == "1"


@pytest.mark.slow
def test_it_is_trained_on_with_more_time_only(settings, tmp_path):
    short = trained(settings, tmp_path, max_time=SHORT)
    with pytest.raises(RunError, match="--max-time 1e-06 had passed after 1 epochs") as refused:
        resume.run(short.run_id, settings, **place(tmp_path))
    assert refused.value.hints == ("to train on, give a larger --max-time",)
    with pytest.raises(ConfigError, match="--max-time 1e-07: the run asked for 1e-06"):
        resume.run(short.run_id, settings, max_time=1e-7, **place(tmp_path))
    whole = trained(settings, tmp_path)
    result = resume.run(short.run_id, settings, max_time=60.0, **place(tmp_path))
    assert [epoch.train for epoch in result.history] == [epoch.train for epoch in whole.history]
    assert result.stopped == ""
    run = next(one for one in search(open_store(settings, create=False)) if one.run_id == short.run_id)
    assert (run.settings["epochs"], run.asked["epochs"], run.settings["max_time"]) == ("4", "4", "60.0")


@pytest.mark.slow
def test_time_before_an_interruption_counts(settings, tmp_path):
    def interrupt(event):
        if isinstance(event, EpochEnded):
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted):
        trained(settings, tmp_path, interrupt, max_time=SHORT)
    result = resume.run(only_run(settings).run_id, settings, **place(tmp_path))
    assert len(result.history) == 1
    assert result.stopped.startswith("after 1 of 4 epochs")


def test_the_command_line_says_why_it_ended(cvexp, record):
    words = ("train", "linear", "--dataset", "digits", "--epochs", "9", "--device", "cpu", "--max-time", "0.000001")
    outcome = cvexp(*words, "--target-accuracy", "0.01")
    assert outcome.code == 0, outcome.stderr
    assert "after 1 of 9 epochs: --max-time 1e-06 had passed" in outcome.stdout
    assert "time to 1%" in outcome.stdout


@pytest.mark.parametrize(
    "words",
    [
        ("--max-time", "0"),
        ("--max-time", "-1"),
        ("--max-time", "nan"),
        ("--max-time", "inf"),
        ("--target-accuracy", "0"),
        ("--target-accuracy", "90"),
        ("--target-accuracy", "nan"),
    ],
)
def test_values_out_of_range_are_refused(cvexp, record, words):
    refused = cvexp("train", "linear", *words)
    assert refused.code == 2
    assert refused.stderr.startswith(f"error: {' '.join(words)}")
    assert len(refused.stderr.splitlines()) <= 3
