"""How a run was made, what differs here, and whether training it again gives the same figures."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from cvexp.tracking import context
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store
from cvexp.training import repetition


def names(document):
    return [one["name"] for one in document["differences"]]


def test_a_run_says_how_it_was_made_and_that_nothing_differs(lab, cvexp):
    outcome = cvexp("reproduce", lab.runs["mlp"].run_id, "--json")
    assert outcome.code == 0, outcome.stderr
    document = outcome.document
    assert document["command"] == "cvexp train mlp"
    assert document["equivalent_command"].startswith("cvexp train mlp --model-arg output_relu=false --dataset digits")
    assert "--epochs 2 --seed 7 --device cpu" in document["equivalent_command"]
    assert document["data"] == {"dataset": "digits", "digest": "7673c1411f0daa6a"}
    assert {"cvexp", "python", "torch", "numpy"} <= document["versions"].keys()
    assert (document["differences"], document["not_compared"], document["check"]) == ([], [], None)


@pytest.mark.parametrize("model", ["linear", "tinyvgg"])
def test_training_again_gives_the_same_bits_and_no_run(lab, cvexp, model):
    store = open_store(lab.settings, create=False)
    before = {run.run_id for run in search(store, everywhere=True)}
    outcome = cvexp("reproduce", lab.runs[model].run_id, "--check", "--json")
    assert outcome.code == 0, outcome.stderr
    check = outcome.document["check"]
    assert (check["agrees"], check["bit_for_bit"], check["same_weights"]) == (True, True, True)
    assert check["required"] == "bit for bit"
    metrics = {figure["metric"] for figure in check["figures"]}
    assert metrics >= {"train/loss", "train/accuracy", "test/loss", "test/accuracy"}
    assert ("val/accuracy" in metrics) == (model == "tinyvgg")
    assert {run.run_id for run in search(store, everywhere=True)} == before


def test_another_version_is_named(lab, cvexp, monkeypatch):
    monkeypatch.setattr(context, "_version", lambda name: "2.0.0" if name == "torch" else "")
    document = cvexp("reproduce", lab.runs["linear"].run_id, "--json").document
    found = next(one for one in document["differences"] if one["name"] == "torch")
    assert (found["recorded"], found["here"]) == (document["versions"]["torch"], "2.0.0")


def test_other_data_are_named_and_not_trained_on(lab, cvexp, monkeypatch):
    from cvexp.data import dataset

    monkeypatch.setattr(dataset, "content_digest", lambda _arrays: "feedfeedfeedfeed")
    monkeypatch.setattr(repetition, "_trained", lambda *_: pytest.fail("it was trained"))
    outcome = cvexp("reproduce", lab.runs["linear"].run_id, "--check", "--json")
    assert outcome.code == 4
    assert "data" in names(outcome.document)
    assert outcome.document["check"] is None
    assert "other data" in outcome.stderr


def off_by(monkeypatch, difference):
    """Let the second training end with another test accuracy."""
    trained = repetition._trained

    def changed(*arguments):
        figures, weights = trained(*arguments)
        return figures | {("test/accuracy", 1): figures["test/accuracy", 1] + difference}, weights

    monkeypatch.setattr(repetition, "_trained", changed)


def test_figures_that_are_not_equal_where_they_have_to_be_are_a_failed_gate(lab, cvexp, monkeypatch):
    off_by(monkeypatch, 1e-12)
    outcome = cvexp("reproduce", lab.runs["linear"].run_id, "--check")
    assert outcome.code == 4
    assert "DOES NOT AGREE: 1 of 4 figures differ" in outcome.stdout
    assert len([line for line in outcome.stderr.splitlines() if not line.startswith("epoch")]) <= 3


@pytest.mark.parametrize(("difference", "code"), [(0.02, 0), (0.3, 4)])
def test_elsewhere_figures_may_differ_as_much_as_seeds_do(lab, cvexp, monkeypatch, difference, code):
    monkeypatch.setattr(context, "_version", lambda _name: "2.0.0")
    off_by(monkeypatch, difference)
    outcome = cvexp("reproduce", lab.runs["linear"].run_id, "--check", "--json")
    assert outcome.code == code
    check = outcome.document["check"]
    assert (check["agrees"], check["bit_for_bit"], check["required"]) == (code == 0, False, "within seed noise")
    assert check["seed_noise"]["n_repeats"] == 0


def test_seed_noise_is_that_of_the_repeats_where_there_are_three():
    measured = repetition.seed_noise([0.80, 0.82, 0.84], n_test=1000)
    assert measured.n == 3
    assert measured.allowance == pytest.approx(9.924843 * 0.02 * 2**0.5)  # t at 0.995 with 2 degrees of freedom
    assumed = repetition.seed_noise([0.9], n_test=10_000)
    assert assumed.n == 0
    assert assumed.allowance == pytest.approx(2.575829 * (0.009**2 + 0.09 / 10_000) ** 0.5 * 2**0.5)


@pytest.fixture
def commit(record, monkeypatch):
    """The working folder as a repository with one file; returns its commit."""
    if shutil.which("git") is None:
        pytest.skip("git is not here")
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, os.devnull)
    Path("net.py").write_text("width = 10\n")
    words = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
    for command in (["init", "-q"], ["add", "net.py"], [*words, "commit", "-qm", "first"]):
        subprocess.run(["git", *command], check=True, timeout=60)
    return subprocess.run(["git", "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


def test_a_changed_file_in_the_tree_is_named(record, cvexp, commit):
    record("run", tags={"mlflow.source.git.commit": commit, "cvexp.git_dirty": "false"})
    assert not [name for name in names(cvexp("reproduce", "run", "--json").document) if name.startswith("file")]
    Path("net.py").write_text("width = 12\n")
    document = cvexp("reproduce", "run", "--json").document
    found = next(one for one in document["differences"] if one["name"] == "file net.py")
    assert found["recorded"] == f"as in {commit[:8]}"
    assert found["here"].startswith("sha256 ")


def test_changes_that_were_not_kept_are_said_to_be_unknown(record, cvexp, commit):
    record("run", tags={"mlflow.source.git.commit": commit, "cvexp.git_dirty": "true"})
    outcome = cvexp("reproduce", "run")
    assert "some, which were not kept" in outcome.stdout


def test_another_commit_is_named(record, cvexp, commit):
    record("run", tags={"mlflow.source.git.commit": "0" * 40, "cvexp.git_dirty": "false"})
    document = cvexp("reproduce", "run", "--json").document
    assert document["differences"][0] == {"name": "commit", "recorded": "0" * 40, "here": commit}


def test_a_model_that_is_code_is_built_only_where_it_is_named(record, cvexp):
    record("own", model="package.module:factory")
    outcome = cvexp("reproduce", "own")
    assert outcome.code == 0
    assert "not compared: device, threads and data: the model is code of its own" in outcome.stdout
    refused = cvexp("reproduce", "own", "--check")
    assert refused.code == 2
    assert "--model package.module:factory" in refused.stderr
    other = cvexp("reproduce", "own", "--model", "os:system")
    assert (other.code, "not os:system" in other.stderr) == (2, True)


def test_data_that_are_not_here_are_not_fetched_to_be_compared(record, cvexp, tmp_path):
    record("run", dataset="cifar10")
    outcome = cvexp("reproduce", "run", "--data-dir", str(tmp_path / "data"))
    assert outcome.code == 0
    assert "cifar10 is not on this machine" in outcome.stdout
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("figures", [{}, {"train/loss": 1.0}])
def test_a_run_without_figures_cannot_be_checked(record, cvexp, figures):
    record("run", epochs=1, figures=figures, status="FAILED", tags={"cvexp.test_set": "7673c1411f0daa6a"})
    outcome = cvexp("reproduce", "run", "--check")
    assert outcome.code == 2
    assert "no figures to compare with" in outcome.stderr


@pytest.mark.parametrize("text", ["many", "-1"])
def test_settings_that_cannot_be_used_are_refused(record, cvexp, text):
    run_id = record("run")
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE params SET value = ? WHERE key = 'epochs' AND run_uuid = ?", (text, run_id))
    outcome = cvexp("reproduce", "run")
    assert outcome.code == 2
    assert "the settings of run run cannot be used here" in outcome.stderr


@pytest.mark.slow
def test_a_training_keeps_the_changes_it_was_made_with(record, cvexp, commit):
    Path("net.py").write_text("width = 12\n")
    trained = cvexp("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu", "--json")
    assert trained.code == 0, trained.stderr
    document = cvexp("reproduce", "@last", "--json").document
    assert (document["commit"], document["dirty"], document["changed_files"]) == (commit, "true", ["net.py"])
    assert "+width = 12" in Path(document["patch"]).read_text()
    assert document["differences"] == []
    subprocess.run(["git", "checkout", "-q", "net.py"], check=True, timeout=60)
    assert names(cvexp("reproduce", "@last", "--json").document) == ["file net.py"]
