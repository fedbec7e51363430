from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys

import pytest
from filelock import FileLock
from mlflow import MlflowClient

from cvexp.settings import store_settings
from cvexp.tracking.store import open_store

TRAIN = ("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["q?x", "a%20b", "100%25", "%", "a#b", 'it\'s "so" ünï & co; $HOME', "a:b@c \\ [x]"])
def test_a_working_folder_may_have_any_name(name, cvexp, tmp_path, monkeypatch):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    for words in (TRAIN, ("evaluate", "@last"), ("confmat", "@last"), ("compare",)):
        done = cvexp(*words)
        assert done.code == 0, done.stderr
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert sorted(path.name for path in folder.iterdir()) == [".cvexp", "confusion_matrix.png", "mlflow.db", "mlruns"]
    assert len(list(folder.glob("mlruns/0/*/artifacts/weights/*"))) == 2
    assert len(list(folder.glob("mlruns/0/*/artifacts/confusion_matrix.png"))) == 1


@pytest.mark.parametrize("verb", [TRAIN, ("compare",)])
def test_a_working_folder_whose_name_cannot_be_stored_is_refused(verb, cvexp, tmp_path, monkeypatch):
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system takes no such name")
    monkeypatch.chdir(folder)
    refused = cvexp(*verb)
    assert refused.code == 2
    assert "UTF-8" in refused.stderr
    assert len(refused.stderr.splitlines()) <= 3
    assert list(folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("words", [(), ("--experiment", "another")])
def test_artifacts_lie_beside_the_store_whatever_the_working_folder(words, cvexp, tmp_path, monkeypatch):
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    work.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(work)
    trained = cvexp(*TRAIN, "--tracking-uri", f"sqlite:///{elsewhere}/mlflow.db", *words, "--json").document
    assert list(work.iterdir()) == []
    assert sorted(path.name for path in elsewhere.iterdir()) == [".cvexp", "mlflow.db", "mlruns"]
    plain = MlflowClient(tracking_uri=f"sqlite:///{elsewhere}/mlflow.db")
    assert "weights" in [file.path for file in plain.list_artifacts(trained["run_id"])]


@pytest.fixture
def moved(lab, tmp_path, monkeypatch):
    """The lab's folder, as it would be if it had been somewhere else before."""
    folder = tmp_path / "moved"
    shutil.copytree(lab.folder, folder)
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            database.execute(
                f"UPDATE {table} SET {column} = replace({column}, ?, ?)",  # noqa: S608 - names of our own
                (str(lab.folder), str(tmp_path / "before")),
            )
    monkeypatch.chdir(folder)
    return folder


def test_a_moved_folder_keeps_its_weights_and_says_where_they_are_read(cvexp, lab, moved, tmp_path):
    evaluated = cvexp("evaluate", lab.runs["linear"].run_id, "--device", "cpu")
    assert evaluated.code == 0, evaluated.stderr
    (line,) = evaluated.stderr.splitlines()
    assert str(tmp_path / "before") in line
    assert "moved" in line


def test_a_picture_is_logged_to_a_run_of_a_moved_folder_and_not_to_where_it_was(cvexp, lab, moved, tmp_path):
    run_id = lab.runs["linear"].run_id
    confused = cvexp("confmat", run_id, "--normalize", "all", "--json")
    assert confused.code == 0, confused.stderr
    assert not (tmp_path / "before").exists()
    assert (moved / "mlruns" / "0" / run_id / "artifacts" / "confusion_matrix_all.png").exists()


@pytest.mark.slow
def test_a_store_that_is_there_is_read_while_another_process_opens_it(lab):
    with FileLock(lab.folder / ".cvexp" / "store.lock"):
        done = subprocess.run(
            [sys.executable, "-m", "cvexp", "compare", "--json"],
            cwd=lab.folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_a_reader_does_not_wait_long_for_a_store_that_another_process_creates(tmp_path):
    (tmp_path / ".cvexp").mkdir()
    (tmp_path / "mlflow.db").touch()
    with FileLock(tmp_path / ".cvexp" / "store.lock"):
        done = subprocess.run(
            [sys.executable, "-m", "cvexp", "compare"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
        )
    assert done.returncode == 2
    assert "is creating" in done.stderr
    assert "try again" in done.stderr
    assert len(done.stderr.splitlines()) <= 3


def test_an_experiment_that_another_client_makes_meanwhile_is_the_one_that_is_used(record, monkeypatch):
    settings = store_settings(record.uri, "shared")
    theirs = MlflowClient(record.uri).create_experiment("shared")
    look_up = MlflowClient.get_experiment_by_name
    answers = iter([None])  # of the first look-up, before the other client was done
    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", lambda self, name: next(answers, look_up(self, name)))
    assert open_store(settings, create=True).experiment_id == theirs
    assert len([one for one in MlflowClient(record.uri).search_experiments() if one.name == "shared"]) == 1
