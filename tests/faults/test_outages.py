"""Tracking stores that are down, hang or are locked by others: the training goes on, and nothing is lost or doubled."""

from __future__ import annotations

import json
import signal
import sqlite3
import time

import pytest
from mlflow import MlflowClient

from cvexp.tracking.deadline import DEADLINE_SECONDS
from tests.faults import killing

pytestmark = pytest.mark.slow

TRAIN = ["train", "linear", "--dataset", "digits", "--epochs", "4", "--device", "cpu", "--json"]
SLOW = ["train", "tinyvgg", "--dataset", "mnist-5k", "--epochs", "8", "--device", "cpu", "--json", "--threads", "1"]
N_ARTIFACTS = 7


def at(uri):
    return {"MLFLOW_TRACKING_URI": uri}


def check_whole(uri, n_epochs, run_id=None, *, n_failed=0):
    """The only run of the store is finished, with one point a step, all its artifacts and a model that is ready.

    Each time it was interrupted, a model that never came was left: `n_failed` of them.
    """
    client = MlflowClient(tracking_uri=uri)
    (run,) = client.search_runs([e.experiment_id for e in client.search_experiments()])
    assert run.info.status == "FINISHED"
    assert run_id in (None, run.info.run_id)
    for key in set(run.data.metrics) - {"tracking/delivered_at"}:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, key)]
        expected = [0] if key.startswith(("model/", "time/", "memory/")) and key != "time/epoch_seconds" else None
        assert sorted(steps) == (expected or list(range(1, n_epochs + 1))), key
    names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"weights", "curves.png", "confusion_matrix.png", "predictions.png", "per_class.csv"} <= names
    assert len(run.inputs.dataset_inputs) == 1
    models = client.search_logged_models([run.info.experiment_id])
    assert sorted(str(model.status) for model in models) == ["FAILED"] * n_failed + ["READY"]
    assert {model.source_run_id for model in models} == {run.info.run_id}


def sync(folder, env):
    code, out, err = killing.run(["sync", "--json"], folder, env=env)
    assert code == 0, err
    return json.loads(out)


def folders(folder):
    return list((folder / ".cvexp" / "runs").iterdir())


def timed(folder, uri):
    """A training's exit code, stdout, stderr, and the seconds it took."""
    start = time.monotonic()
    return *killing.run(TRAIN, folder, env=at(uri)), time.monotonic() - start


def test_a_server_that_is_down_before_the_training(server, tmp_path, tmp_path_factory):
    code, out, err, seconds = timed(tmp_path, server.uri)
    elsewhere = tmp_path_factory.mktemp("store")
    *_, without_outage = timed(elsewhere, f"sqlite:///{elsewhere / 'mlflow.db'}")
    assert seconds < 2 * without_outage + 20  # it may wait ten seconds between the epochs, and ten at its end
    assert code == 3, err
    assert "connection refused" in err
    assert "cvexp sync" in err
    assert len(err.partition("error:")[2].splitlines()) <= 3
    code, found, err = killing.run(["evaluate", "@last", "--device", "cpu", "--json"], tmp_path, env=at(server.uri))
    assert code == 0, err
    assert json.loads(found)["matches"] is True
    server.start()
    assert list(sync(tmp_path, at(server.uri))["delivered"].values()) == [json.loads(out)["undelivered"]]
    check_whole(server.uri, 4)
    assert not folders(tmp_path)
    assert sync(tmp_path, at(server.uri))["delivered"] == {}


def test_a_server_that_is_killed_and_restarted_during_the_training(running, tmp_path):
    process = killing.start(SLOW, tmp_path, env=at(running.uri))
    wait_for_epoch(tmp_path, 1)
    running.kill()
    wait_for_epoch(tmp_path, 4)
    running.start()
    code, out, err = killing.finish(process)
    if code == 3:
        sync(tmp_path, at(running.uri))
    else:
        assert code == 0, err
    check_whole(running.uri, 8, json.loads(out)["run_id"])


@pytest.mark.campaign
def test_a_server_that_is_killed_before_the_end_of_the_training(running, tmp_path):
    process = killing.start(SLOW, tmp_path, env=at(running.uri))
    wait_for_epoch(tmp_path, 2)
    running.kill()
    code, out, err = killing.finish(process)
    assert code == 3, err
    running.start()
    sync(tmp_path, at(running.uri))
    check_whole(running.uri, 8, json.loads(out)["run_id"])


def test_a_server_that_hangs_costs_ten_seconds_in_all(running, tmp_path):
    process = killing.start(SLOW, tmp_path, env=at(running.uri))
    wait_for_epoch(tmp_path, 1)
    running.send(signal.SIGSTOP)
    code, out, err = killing.finish(process)
    left = time.time()
    running.send(signal.SIGCONT)
    assert code == 3, err
    (folder,) = folders(tmp_path)
    ended = [json.loads(line)["at"] / 1000 for line in (folder / "journal.jsonl").read_text().splitlines()][-1]
    # Besides, waiting before the hang and leaving itself take time; MLflow alone would wait for minutes.
    assert json.loads(out)["metrics"]["time/tracking_seconds"] + left - ended < 2 * DEADLINE_SECONDS
    assert "no answer in time" in err or "does not answer" in err
    sync(tmp_path, at(running.uri))
    check_whole(running.uri, 8, json.loads(out)["run_id"])


@pytest.mark.parametrize(("seconds", "expected"), [(5, 0), pytest.param(60, 3, marks=pytest.mark.campaign)])
def test_a_locked_database(seconds, expected, tmp_path):
    assert killing.run(["train", "linear", "--dataset", "digits", "--epochs", "1"], tmp_path)[0] == 0
    store = f"sqlite:///{tmp_path}/mlflow.db"
    client = MlflowClient(tracking_uri=store)
    (first,) = client.search_runs(["0"])
    with sqlite3.connect(tmp_path / "mlflow.db") as other:
        other.execute("BEGIN IMMEDIATE")
        process = killing.start(TRAIN, tmp_path)
        start = time.monotonic()
        deadline = start + seconds
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        other.rollback()
    code, out, err = killing.finish(process)
    assert code == expected, err
    document = json.loads(out)
    assert document["metrics"]["time/tracking_seconds"] < 2 * DEADLINE_SECONDS  # what was waited for with progress too
    if expected:
        assert "wait to be delivered" in err
        sync(tmp_path, {})
    client.delete_run(first.info.run_id)
    for model in client.search_logged_models(["0"]):
        if model.source_run_id == first.info.run_id:
            client.delete_logged_model(model.model_id)
    check_whole(store, 4)


def wait_for_epoch(folder, epoch, seconds=120):
    """Wait until the journal holds the epoch's figures."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for journal in folder.glob(".cvexp/runs/*/journal.jsonl"):
            lines = journal.read_text().splitlines()
            if sum('"kind": "metrics"' in line for line in lines) >= epoch:
                return
        time.sleep(0.02)
    raise TimeoutError(f"epoch {epoch} never ended")
