"""A training's events, and what its observer may answer: stop, or an exception."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from cvexp import history
from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.events import STOP, CheckpointStarted, EpochEnded, StepsRun, TrainingStarted
from cvexp.jobs import resume, train
from cvexp.settings import store_settings


@pytest.fixture
def settings(record):
    return store_settings(record.uri)


def trained(settings, tmp_path, observer, **asked):
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 4, **asked})
    policy = CheckpointPolicy(keep=1)
    return train.run(config, settings, data_dir=tmp_path, command=["cvexp"], observer=observer, policy=policy)


def test_an_observer_gets_the_events_of_a_training_in_order(settings, tmp_path):
    seen = []
    result = trained(settings, tmp_path, seen.append, epochs=2)
    kinds = [type(event) for event in seen if not isinstance(event, StepsRun)]
    assert kinds == [TrainingStarted, EpochEnded, CheckpointStarted, EpochEnded, CheckpointStarted]
    assert seen[0].run_id == result.run_id
    epochs = [event for event in seen if isinstance(event, EpochEnded)]
    assert [event.last for event in epochs] == [False, True]
    assert tuple(event.metrics for event in epochs) == result.history
    steps = [event for event in seen if isinstance(event, StepsRun)]
    assert steps
    assert {event.n_steps for event in steps} == {45}


def stop_after(epoch):
    return lambda event: STOP if isinstance(event, EpochEnded) and event.metrics.epoch == epoch else None


@pytest.mark.parametrize("val_split", [0.0, 0.2])
@pytest.mark.slow
def test_an_observer_that_answers_stop_ends_the_run_as_finished(settings, tmp_path, val_split):
    result = trained(settings, tmp_path, stop_after(2), val_split=val_split)
    assert [epoch.epoch for epoch in result.history] == [1, 2]
    assert (result.status, result.config.epochs) == ("FINISHED", 2)
    client = MlflowClient(settings.tracking_uri)
    (run,) = client.search_runs(["0"])
    assert run.info.status == "FINISHED"
    assert (run.data.params["epochs"], run.data.tags["cvexp.epochs"]) == ("4", "2")
    assert json.loads(run.data.tags["cvexp.conditions"])["epochs"] == 2
    assert "weights" in {file.path for file in client.list_artifacts(run.info.run_id)}
    (model,) = client.search_logged_models(["0"])
    figures = {metric.key: metric.value for metric in model.metrics}
    assert figures["test/accuracy"] == run.data.metrics["test/accuracy"] == result.evaluation.metrics.accuracy
    assert list(history(result.run_id, tracking_uri=settings.tracking_uri).index) == [1, 2]


@pytest.mark.slow
def test_a_run_that_was_stopped_early_can_be_trained_to_its_end(settings, tmp_path):
    whole = trained(settings, tmp_path, None)
    short = trained(settings, tmp_path, stop_after(2))
    result = resume.run(short.run_id, settings, data_dir=tmp_path, command=["cvexp"])
    assert [epoch.train for epoch in result.history] == [epoch.train for epoch in whole.history]
    tags = MlflowClient(settings.tracking_uri).get_run(short.run_id).data.tags
    assert tags["cvexp.epochs"] == "4"


@pytest.mark.parametrize("answer", [None, False, 1, "yes"])
@pytest.mark.slow
def test_no_other_answer_stops(settings, tmp_path, answer):
    assert len(trained(settings, tmp_path, lambda _: answer, epochs=2).history) == 2


@pytest.mark.slow
def test_stop_before_the_first_step_or_within_an_epoch_makes_that_epoch_the_last(settings, tmp_path):
    for kind in (TrainingStarted, StepsRun):
        stop = lambda event, kind=kind: STOP if isinstance(event, kind) else None  # noqa: E731 - two of one kind
        assert len(trained(settings, tmp_path, stop).history) == 1


def test_an_epoch_is_recorded_although_its_observer_raises(settings, tmp_path):
    def broken(event):
        if isinstance(event, EpochEnded):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trained(settings, tmp_path, broken)
    (run,) = MlflowClient(settings.tracking_uri).search_runs(["0"])
    assert run.info.status == "FAILED"
    assert "train/loss" in run.data.metrics
