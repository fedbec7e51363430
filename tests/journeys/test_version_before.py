"""What version 0.1.0 stored, exported and left undelivered is read by this version."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from cvexp.image_records import check_same_images, read_records

FIXTURE = Path(__file__).parents[1] / "fixtures" / "version_0_1"
MADE_IN = "/tmp/cvexp-0.1"  # noqa: S108 - the folder that MLflow recorded in its artifact addresses
RUNS = {"linear": "linear-b4dddc", "mlp": "mlp-f06297", "tinyvgg": "tinyvgg-3b9272"}
PENDING = "6333c15f0b17e71bf905374ee2e15f58"
LOGGED = {  # test accuracy and loss, as version 0.1.0 printed them
    "linear-b4dddc": (0.6055555555555555, 1.92610),
    "mlp-f06297": (0.5138888888888888, 1.82014),
    "tinyvgg-3b9272": (0.225, 2.28111),
}
EXPORTED = ("mlp-f06297.pt", "tinyvgg-3b9272.safetensors")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The old store in a new folder, the addresses that MLflow recorded included."""
    dump = (FIXTURE / "mlflow.sql").read_text()
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.executescript(dump.replace(MADE_IN, str(tmp_path)))
    database.close()
    shutil.copytree(FIXTURE / "artifacts", tmp_path / "mlruns")
    shutil.copytree(FIXTURE / "exported", tmp_path / "models")
    shutil.copy(FIXTURE / "tiny.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def left_over(store):
    """A run of the old version whose records were never delivered."""
    shutil.copytree(FIXTURE / "pending", store / ".cvexp" / "runs")
    for folder in (store / ".cvexp").rglob(""):
        folder.chmod(0o700)
    return store


def test_runs_are_listed_and_compared(store, cvexp):
    compared = cvexp("compare", "--json")
    assert compared.code == 0, compared.stderr
    shown = {run["run_name"]: run["metrics"] for run in compared.document["runs"]}
    assert shown.keys() == LOGGED.keys()
    for name, (accuracy, loss) in LOGGED.items():
        assert shown[name]["test/accuracy"] == pytest.approx(accuracy)
        assert shown[name]["test/loss"] == pytest.approx(loss, abs=1e-5)


@pytest.mark.parametrize("run", [*RUNS.values(), *(f"models/{name}" for name in EXPORTED)])
def test_stored_and_exported_weights_give_the_logged_figures(run, store, cvexp):
    evaluated = cvexp("evaluate", run, "--device", "cpu", "--json")
    assert evaluated.code == 0, evaluated.stderr
    assert evaluated.document["matches"] is True
    accuracy, loss = LOGGED[Path(run).name.partition(".")[0]]
    assert evaluated.document["metrics"]["test/accuracy"] == pytest.approx(accuracy)
    assert evaluated.document["metrics"]["test/loss"] == pytest.approx(loss, abs=1e-5)


def test_per_image_records_are_added_to_old_runs(store, cvexp):
    for model, name in RUNS.items():
        added = cvexp("evaluate", name, "--device", "cpu", "--store", "--json")
        assert added.code == 0, added.stderr
        assert added.document["stored"] == (["val", "test"] if model == "tinyvgg" else ["test"])
    records = [read_records(file) for file in sorted(store.glob("mlruns/0/*/artifacts/records/test.parquet"))]
    accuracies = sorted(accuracy for accuracy, _ in LOGGED.values())
    assert sorted(one.correct.mean() for one in records) == pytest.approx(accuracies)
    for one in records[1:]:
        check_same_images(records[0], one)


def test_a_store_that_was_moved_is_evaluated_too(store, cvexp):
    moved = store / "moved"
    moved.mkdir()
    for name in ("mlflow.db", "mlruns"):
        (store / name).rename(moved / name)
    os.chdir(moved)
    evaluated = cvexp("evaluate", "@last", "--device", "cpu", "--json")
    assert (evaluated.code, evaluated.document["matches"]) == (0, True), evaluated.stderr


@pytest.mark.parametrize("name", EXPORTED)
def test_an_exported_file_holds_what_exporting_the_run_now_gives(name, store, cvexp):
    new = store / f"new{Path(name).suffix}"
    form = "safetensors" if new.suffix == ".safetensors" else "state-dict"
    exported = cvexp("export", name.partition(".")[0], "--format", form, "--out", str(new))
    assert exported.code == 0, exported.stderr
    old_card, new_card = (
        json.loads(file.with_name(f"{file.name}.json").read_text()) for file in (store / "models" / name, new)
    )
    assert new_card["spec"]["weights_sha256"] == old_card["spec"]["weights_sha256"]
    assert new_card["metrics"] == old_card["metrics"]


def test_runs_and_files_predict_the_same(store, cvexp):
    answers = []
    for source in ("mlp-f06297", "models/mlp-f06297.pt"):
        predicted = cvexp("predict", source, "--device", "cpu", "--json", "--out", "p.png")
        assert predicted.code == 0, predicted.stderr
        answers.append(predicted.document["predictions"])
    assert answers[0] == answers[1]
    assert len(answers[0]) > 0


@pytest.mark.parametrize("model", RUNS)
def test_a_logged_model_is_loaded_by_mlflow(model, store, monkeypatch):
    import mlflow
    from mlflow import MlflowClient

    from cvexp.data.dataset import load
    from cvexp.data.registry import find_spec

    uri = f"sqlite:///{store}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        client = MlflowClient(uri)
        run = next(r for r in client.search_runs(["0"]) if r.info.run_name == RUNS[model])
        loaded = mlflow.pyfunc.load_model(f"runs:/{run.info.run_id}/model")
    finally:
        mlflow.set_tracking_uri(before)
    digits = load(find_spec("digits"), store).test
    logits = loaded.predict(digits.images.numpy())
    assert logits.dtype == np.float32
    hits = logits.argmax(axis=1) == digits.labels.numpy()
    assert hits.mean() == pytest.approx(run.data.metrics["test/accuracy"])


def test_an_experiment_file_finds_its_runs_trained(store, cvexp):
    again = cvexp("run", "tiny.yaml", "--json")
    assert again.code == 0, again.stderr
    assert again.document["trained"] == 0
    assert {run["run_name"] for run in again.document["comparison"]["runs"]} == LOGGED.keys()


def test_records_that_were_left_undelivered_are_delivered(left_over, cvexp):
    listed = cvexp("sync", "--list", "--json")
    assert PENDING in listed.stdout, listed.stderr
    delivered = cvexp("sync", "--to", "sqlite:///mlflow.db")
    assert delivered.code == 0, delivered.stderr
    evaluated = cvexp("evaluate", "linear-6333c1", "--device", "cpu", "--json")
    assert (evaluated.code, evaluated.document["matches"]) == (0, True), evaluated.stderr
    assert evaluated.document["metrics"]["test/accuracy"] == pytest.approx(0.5138888888888888)
