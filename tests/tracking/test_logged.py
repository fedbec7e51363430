"""Everything a training run promises to leave in the store, read back by MLflow's own client."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cvexp.comparability import images_key
from cvexp.config import RunConfig
from cvexp.tracking.delivery import DELIVERED

PER_EPOCH = {
    "train/loss",
    "train/accuracy",
    "test/loss",
    "test/accuracy",
    "test/balanced_accuracy",
    "test/macro_f1",
    "time/epoch_seconds",
    "throughput/images_per_second",
}
ONCE = {
    "time/train_seconds",
    "time/total_seconds",
    "time/setup_seconds",
    "time/first_step_seconds",
    "time/evaluate_seconds",
    "time/tracking_seconds",
    "time/epoch_seconds_median",
    "time/waited_share",
    "memory/process_peak_bytes",
    DELIVERED,
    "model/parameters",
    "model/bytes",
}
ARTIFACTS = {
    "confusion_matrix.png",
    "confusion_matrix.json",
    "per_class.csv",
    "curves.png",
    "predictions.png",
    "records/test.parquet",
    "weights/state_dict.pt",
    "weights/model.json",
}
TAGS = {
    "cvexp.version",
    "cvexp.command",
    "cvexp.host",
    "cvexp.pid",
    "cvexp.python",
    "cvexp.versions",
    "cvexp.device",
    "cvexp.device_name",
    "cvexp.threads",
    "cvexp.comparability_key",
    "cvexp.conditions",
    "cvexp.weights_sha256",
    "mlflow.user",
    "mlflow.note.content",
}


def files(client, run_id, folder=None):
    found = set()
    for item in client.list_artifacts(run_id, folder):
        found |= files(client, run_id, item.path) if item.is_dir else {item.path}
    return found


def check_everything(client, run_id, folder, *, epochs):
    """Every parameter, metric, tag, dataset and artifact of a run without a validation part."""
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    fields = set(RunConfig.__dataclass_fields__) - {"model_args"}
    assert fields <= run.data.params.keys()
    assert run.data.metrics.keys() == PER_EPOCH | ONCE
    for key in PER_EPOCH:
        assert [m.step for m in client.get_metric_history(run_id, key)] == list(range(1, epochs + 1))
    for key in ONCE:
        assert len(client.get_metric_history(run_id, key)) == 1
    assert 0 < run.data.metrics["time/train_seconds"] < run.data.metrics["time/total_seconds"]
    assert run.data.tags.keys() >= TAGS
    (images,) = [key for key in run.data.tags if key.startswith("cvexp.images.")]
    assert run.data.tags[images] == "dataset digits, limit none, split_seed 42, val_split 0.0"
    assert images == images_key(run.data.tags["cvexp.test_set"], run.data.params)
    assert run.data.tags["mlflow.note.content"].count("|") > 10
    (dataset,) = run.inputs.dataset_inputs
    assert (dataset.dataset.name, dataset.dataset.digest) == ("digits", "7673c1411f0daa6a")
    assert files(client, run_id) == ARTIFACTS
    local = Path(client.download_artifacts(run_id, "", str(folder)))
    digest = hashlib.sha256((local / "weights/state_dict.pt").read_bytes()).hexdigest()
    card = json.loads((local / "weights/model.json").read_text())
    assert card["weights_sha256"] == run.data.tags["cvexp.weights_sha256"] == digest
    assert (card["image_shape"], len(card["class_names"]), card["schema_version"]) == ([1, 8, 8], 10, 3)
    assert card["transform"] == {"mean": None, "std": None}
    confusion = json.loads((local / "confusion_matrix.json").read_text())
    assert sum(map(sum, confusion["counts"])) == 360
    correct = sum(confusion["counts"][k][k] for k in range(10))
    assert correct / 360 == run.data.metrics["test/accuracy"]
    rows = list(csv.DictReader((local / "per_class.csv").open()))
    assert [row["class"] for row in rows] == list("0123456789")
    assert rows[0].keys() == {"class", "precision", "recall", "f1", "support"}
    for picture in ("confusion_matrix.png", "curves.png", "predictions.png"):
        assert (local / picture).read_bytes().startswith(b"\x89PNG")


def test_everything_is_in_the_default_store(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    trained = cvexp("train", "mlp", "--dataset", "digits", "--epochs", "2", "--device", "cpu", "--json")
    assert trained.code == 0, trained.stderr
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run_id = trained.document["run_id"]
    (tmp_path / "download").mkdir()
    check_everything(client, run_id, tmp_path / "download", epochs=2)
    run = client.get_run(run_id)
    assert run.data.params["model_args.output_relu"] == "true"
    assert run.data.tags["cvexp.command"] == "cvexp train mlp --dataset digits --epochs 2 --device cpu --json"
    assert run.info.artifact_uri.startswith(str(tmp_path / "mlruns"))
    assert trained.document["metrics"] == {key: run.data.metrics[key] for key in run.data.metrics if key != DELIVERED}
    assert sorted(p.name for p in tmp_path.iterdir()) == [".cvexp", "download", "mlflow.db", "mlruns"]
    assert not list((tmp_path / ".cvexp").rglob("*.pt"))


@pytest.mark.slow
def test_a_plain_search_by_mlflow_in_the_folder_finds_the_runs(lab):
    script = "import mlflow; print(*mlflow.search_runs().run_id)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=os.environ)
    assert {run.run_id for run in lab.runs.values()} <= set(found.stdout.split())


def test_with_a_validation_part_the_test_split_is_measured_once(lab):
    client = MlflowClient(lab.settings.tracking_uri)
    run_id = lab.runs["tinyvgg"].run_id
    assert len(client.get_metric_history(run_id, "val/accuracy")) == 1
    (only,) = client.get_metric_history(run_id, "test/accuracy")
    assert only.step == lab.runs["tinyvgg"].config.epochs


@pytest.mark.slow
def test_the_loss_of_every_so_many_steps_is_logged_where_it_is_asked_for(cvexp, lab):
    words = ("--dataset", "digits", "--epochs", "2", "--log-every", "10", "--experiment", "steps", "--json")
    trained = cvexp("train", "linear", *words)
    assert trained.code == 0, trained.stderr
    series = MlflowClient(lab.settings.tracking_uri).get_metric_history(trained.document["run_id"], "step/train_loss")
    n_steps = 2 * -(-1437 // 32)
    assert [point.step for point in series] == list(range(10, n_steps + 1, 10))
    assert series[-1].value < series[0].value


def test_how_steps_were_run_is_tagged(lab):
    client = MlflowClient(lab.settings.tracking_uri)
    tags = {name: client.get_run(run.run_id).data.tags for name, run in lab.runs.items()}
    assert all(tag["cvexp.step_runner"].startswith("captured (TorchScript loop; ") for tag in tags.values())
    assert tags["linear"]["cvexp.threads"] == "1"
    assert tags["tinyvgg"]["cvexp.memory_format"] == "channels_last"


@pytest.mark.slow
def test_the_tag_says_when_steps_were_replayed_from_python(cvexp, lab, monkeypatch):
    def missing(_source):
        raise RuntimeError("TorchScript has left")

    monkeypatch.setattr("torch.jit.CompilationUnit", missing)
    words = ("--dataset", "digits", "--limit", "100", "--epochs", "1", "--experiment", "replayed", "--json")
    trained = cvexp("train", "linear", *words)
    assert trained.code == 0, trained.stderr
    tags = MlflowClient(lab.settings.tracking_uri).get_run(trained.document["run_id"]).data.tags
    assert tags["cvexp.step_runner"].startswith("captured (replayed from Python; ")


@pytest.mark.slow
def test_the_commit_and_its_dirtiness_are_tagged(cvexp, lab, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org"]
    (tmp_path / "code.py").write_text("1\n")
    for words in (["init", "-q"], ["add", "code.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    for dirty in ("false", "true"):
        words = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--experiment", f"git {dirty}")
        trained = cvexp(*words, "--json", "--tracking-uri", lab.settings.tracking_uri)
        tags = MlflowClient(lab.settings.tracking_uri).get_run(trained.document["run_id"]).data.tags
        assert (tags["mlflow.source.git.commit"], tags["cvexp.git_dirty"]) == (commit, dirty)
        (tmp_path / "code.py").write_text("2\n")


@pytest.fixture
def server(tmp_path):
    """MLflow's own server on a free port of the loopback interface."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    places = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", f"{tmp_path}/remote"]
    quiet = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    process = subprocess.Popen(
        [sys.executable, "-m", "mlflow", *words, *places],
        env=quiet,
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    uri = f"http://127.0.0.1:{port}"
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"{uri}/health", timeout=1).close()
                break
            except OSError:
                time.sleep(0.5)
        yield uri
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.slow
def test_everything_reaches_a_server_too(server, cvexp, tmp_path, monkeypatch):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "shop window")
    trained = cvexp("train", "linear", "--dataset", "digits", "--epochs", "2", "--json")
    assert trained.code == 0, trained.stderr
    client = MlflowClient(server)
    run_id = trained.document["run_id"]
    (tmp_path / "download").mkdir()
    check_everything(client, run_id, tmp_path / "download", epochs=2)
    assert client.get_experiment(client.get_run(run_id).info.experiment_id).name == "shop window"
    evaluated = cvexp("evaluate", "@last", "--json")
    assert (evaluated.code, evaluated.document["matches"]) == (0, True)
    assert not (folder / "mlflow.db").exists()
