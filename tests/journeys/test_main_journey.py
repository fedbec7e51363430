"""From nothing to a decision: train, evaluate, compare; then damage the weights."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from mlflow import MlflowClient

from cvexp.tracking.store import open_store
from tests.faults import killing


def weights_of(lab, model):
    return lab.folder / "mlruns" / "0" / lab.runs[model].run_id / "artifacts" / "weights"


@pytest.mark.parametrize("model", ["linear", "mlp", "tinyvgg"])
def test_evaluating_a_run_gives_its_own_figures(model, cvexp, lab):
    evaluated = cvexp("evaluate", lab.runs[model].run_name, "--device", "cpu", "--json")
    assert evaluated.code == 0, evaluated.stderr
    assert evaluated.document["schema_version"] == 1
    assert evaluated.document["matches"] is True
    assert evaluated.document["metrics"] == lab.runs[model].evaluation.metrics.keyed("test")


def test_one_flipped_byte_in_the_weights_is_refused(cvexp, lab):
    path = weights_of(lab, "linear") / "state_dict.pt"
    sound = path.read_bytes()
    damaged = bytearray(sound)
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    try:
        refused = cvexp("evaluate", lab.runs["linear"].run_id)
    finally:
        path.write_bytes(sound)
    assert refused.code == 2
    assert str(path) in refused.stderr
    assert len(refused.stderr.splitlines()) <= 3


def test_weights_exchanged_together_with_their_card_are_refused(cvexp, lab):
    """The digest in the store counts, not the one beside the weights."""
    mine, theirs = weights_of(lab, "linear"), weights_of(lab, "mlp")
    sound = {path: path.read_bytes() for path in mine.iterdir()}
    try:
        for path in mine.iterdir():
            path.write_bytes((theirs / path.name).read_bytes())
        refused = cvexp("evaluate", lab.runs["linear"].run_id)
    finally:
        for path, content in sound.items():
            path.write_bytes(content)
    assert refused.code == 2
    assert "altered" in refused.stderr


def test_other_figures_than_the_logged_ones_are_exit_4(cvexp, lab):
    store = open_store(lab.settings, create=False)
    run_id = lab.runs["linear"].run_id
    logged = lab.runs["linear"].evaluation.metrics.accuracy
    store.client.log_metric(run_id, "test/accuracy", logged + 0.01, step=1)
    try:
        differs = cvexp("evaluate", run_id, "--device", "cpu", "--json")
    finally:
        store.client.log_metric(run_id, "test/accuracy", logged, step=1, timestamp=int(time.time() * 1000) + 10)
    assert (differs.code, differs.document["matches"]) == (4, False)
    assert len(differs.stderr.splitlines()) <= 3


def test_the_table_shows_every_run_and_what_differs(cvexp, lab, monkeypatch):
    for columns in ("80", "120", "200"):
        monkeypatch.setenv("COLUMNS", columns)
        shown = cvexp("compare")
        assert shown.code == 0
        assert all(run.run_name in shown.stdout for run in lab.runs.values())
        rows = [line for line in shown.stdout.splitlines() if any(r.run_name in line for r in lab.runs.values())]
        assert len(rows) == len(lab.runs)
        assert max(map(len, rows)) <= int(columns)
    assert "output_relu=false" in shown.stdout
    assert "dataset digits" in shown.stdout


def test_times_under_other_conditions_carry_a_letter(cvexp, lab, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    mixed = cvexp("compare")
    alike = cvexp("compare", lab.runs["linear"].run_id)
    assert "within one letter only" in mixed.stdout
    assert "within one letter only" not in alike.stdout


def test_a_comparison_is_sorted_the_best_first(cvexp, lab):
    for sort, key, best in (
        ("accuracy", "test/accuracy", max),
        ("loss", "test/loss", min),
        ("seconds", "time/train_seconds", min),
    ):
        figures = [run["metrics"][key] for run in cvexp("compare", "--sort", sort, "--json").document["runs"]]
        assert figures == sorted(figures, reverse=best is max)
        assert len(figures) == len(lab.runs)


def test_csv_markdown_and_json_carry_the_same_runs(cvexp, lab):
    rows = list(csv.DictReader(io.StringIO(cvexp("compare", "--format", "csv").stdout)))
    document = json.loads(cvexp("compare", "--format", "json").stdout)
    markdown = cvexp("compare", "--format", "md").stdout
    assert [row["run_id"] for row in rows] == [run["run_id"] for run in document["runs"]]
    assert float(rows[0]["metrics.test/accuracy"]) == document["runs"][0]["metrics"]["test/accuracy"]
    assert sum(line.startswith("| ") for line in markdown.splitlines()) == 1 + len(rows)


def test_a_filter_and_a_limit_leave_the_right_runs(cvexp, lab):
    where = cvexp("compare", "--where", 'params.model = "mlp"', "--json").document["runs"]
    last = cvexp("compare", "--last", "1", "--json").document["runs"]
    assert [run["run_id"] for run in where] == [lab.runs["mlp"].run_id]
    assert [run["run_id"] for run in last] == [lab.runs["tinyvgg"].run_id]


def test_a_plot_is_drawn(cvexp, lab, tmp_path):
    assert cvexp("compare", "--plot", str(tmp_path / "compare.png")).code == 0
    assert (tmp_path / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_data_and_models_describe_themselves(cvexp, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    listed = cvexp("data", "--json").document["datasets"]
    assert {"fashion-mnist", "mnist", "kmnist", "cifar10", "mnist-5k", "digits"} <= {d["name"] for d in listed}
    digits = cvexp("data", "digits", "--samples", "samples.png", "--json").document
    assert sum(digits["counts"]["train"].values()) == 1437
    assert (tmp_path / "samples.png").read_bytes().startswith(b"\x89PNG")
    models = cvexp("models", "--json").document["models"]
    assert {m["name"]: m["parameters"] for m in models} == {"linear": 7960, "mlp": 7960, "tinyvgg": 7740}
    assert cvexp("models", "tinyvgg", "--json").document["macs"] == 1_133_860
    assert "output_relu" in cvexp("models", "mlp").stdout


@pytest.mark.slow
def test_epoch_lines_go_to_stderr_and_the_summary_to_stdout(cvexp, lab, monkeypatch):
    words = ("train", "linear", "--dataset", "digits", "--epochs", "2", "--experiment", "lines")
    shown = cvexp(*words)
    document = cvexp(*words, "--json")
    for outcome in (shown, document):
        lines = outcome.stderr.splitlines()
        assert [line.split()[1] for line in lines if line.startswith("epoch ")] == ["1/2", "2/2"]
        assert "\x1b" not in outcome.stderr
    assert "test accuracy" in shown.stdout
    required = {"run_id", "run_name", "status", "model", "dataset", "device", "epochs", "seed", "metrics", "history"}
    assert required | {"artifacts_uri", "schema_version"} <= document.document.keys()
    assert [epoch["epoch"] for epoch in document.document["history"]] == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_a_signal_leaves_the_run_killed(name, code, lab):
    words = ["train", "tinyvgg", "--dataset", "digits", "--epochs", "100000", "--experiment", "signals"]
    process = subprocess.Popen(
        [sys.executable, "-m", "cvexp", *words],
        cwd=lab.folder,
        env=os.environ,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=killing.heeding,
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.startswith("epoch 2/"):
            process.send_signal(getattr(signal, name))
            break
    stdout, rest = process.communicate(timeout=60)
    assert (process.returncode, stdout) == (code, "")
    assert "Traceback" not in rest
    assert name in rest
    run_id = lines[0].split("(")[1].split(")")[0]
    assert MlflowClient(lab.settings.tracking_uri).get_run(run_id).info.status == "KILLED"
