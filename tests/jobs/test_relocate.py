from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cvexp.errors import StoreError
from cvexp.jobs import relocate
from cvexp.settings import store_settings
from cvexp.tracking.relocation import moved_place

PLACES = """
SELECT artifact_location FROM experiments UNION ALL SELECT artifact_uri FROM runs
UNION ALL SELECT artifact_location FROM logged_models UNION ALL SELECT source FROM model_versions
UNION ALL SELECT storage_location FROM model_versions WHERE storage_location IS NOT NULL
"""


def filled(record):
    """A store with a run that has an artifact, a logged model, and a registered version."""
    Path("old").mkdir()
    shutil.move("mlflow.db", "old/mlflow.db")
    record.uri = f"sqlite:///{Path.cwd()}/old/mlflow.db"
    with sqlite3.connect("old/mlflow.db") as database:
        database.execute("UPDATE experiments SET artifact_location = ?", (f"{Path.cwd()}/old/mlruns/0",))
    client = MlflowClient(record.uri)
    run_id = record("one")
    client.log_text(run_id, "0.5", "weights.txt")
    model = client.create_logged_model("0", name="model", source_run_id=run_id)
    Path(model.artifact_location).mkdir(parents=True)
    client.create_registered_model("digits")
    client.create_model_version("digits", model.artifact_location, run_id=run_id)
    return run_id


def places(file):
    with sqlite3.connect(file) as database:
        return [row[0] for row in database.execute(PLACES)]


@pytest.mark.parametrize("name", ["new", "100% new"])
def test_after_a_move_every_place_names_the_new_folder_and_mlflow_finds_the_artifacts(record, name):
    run_id = filled(record)
    Path("old").rename(name)
    settings = store_settings(f"sqlite:///{name}/mlflow.db")
    planned = relocate.plan(settings)
    assert (planned.planned.n_runs, planned.planned.n_found) == (1, 1)
    assert all("/old/" in place for place in places(f"{name}/mlflow.db"))
    done = relocate.carry_out(settings, planned)
    assert not any("/old/" in place for place in places(f"{name}/mlflow.db"))
    assert [one.path for one in MlflowClient(settings.tracking_uri).list_artifacts(run_id)] == ["weights.txt"]
    assert all("/old/" in place for place in places(done.backup))
    assert not relocate.plan(settings).planned.changes


def test_a_folder_that_is_named_is_rewritten_to_where_its_content_is(record):
    filled(record)
    shutil.move("old/mlruns", "elsewhere")
    settings = store_settings(record.uri)
    old, new = Path("old/mlruns"), Path("elsewhere")
    relocate.carry_out(settings, relocate.plan(settings, old=old, new=new))
    assert all("/elsewhere/" in place or place.endswith("/elsewhere/0") for place in places("old/mlflow.db"))


def test_a_place_without_artifacts_is_refused(record):
    filled(record)
    Path("empty").mkdir()
    with pytest.raises(StoreError, match="no run has artifacts"):
        relocate.plan(store_settings(record.uri), old=Path("old/mlruns"), new=Path("empty"))


def test_nothing_is_rewritten_while_a_run_is_under_way(record):
    filled(record)
    record("two", status="RUNNING")
    Path("old").rename("new")
    settings = store_settings("sqlite:///new/mlflow.db")
    before = places("new/mlflow.db")
    with pytest.raises(StoreError, match="under way"):
        relocate.carry_out(settings, relocate.plan(settings))
    assert places("new/mlflow.db") == before
    assert not list(Path("new").glob("*.before-relocate-*"))


def test_a_change_meanwhile_leaves_the_store_as_it_was(record):
    filled(record)
    Path("old").rename("new")
    settings = store_settings("sqlite:///new/mlflow.db")
    planned = relocate.plan(settings)
    with sqlite3.connect("new/mlflow.db") as database:
        database.execute("UPDATE runs SET artifact_uri = '/third'")
    before = places("new/mlflow.db")
    with pytest.raises(StoreError, match="changed meanwhile"):
        relocate.carry_out(settings, planned)
    assert places("new/mlflow.db") == before


def test_the_command_says_where_things_are_and_were(record, cvexp):
    filled(record)
    Path("old").rename("new")
    uri = ("--tracking-uri", "sqlite:///new/mlflow.db")
    shown = cvexp("relocate", *uri)
    assert "to rewrite: " in shown.stdout
    assert "artifacts are there for 1 of 1 runs" in shown.stdout
    assert "add --yes" in shown.stderr
    assert cvexp("relocate", *uri, "--yes", "--json").document["done"] is True
    assert "nothing was moved" in cvexp("relocate", *uri).stdout


@pytest.mark.parametrize(
    ("place", "new"),
    [
        ("/old/0/x/artifacts", "/new/0/x/artifacts"),
        ("file:///old/0", "file:///new/0"),
        ("/older/0", None),
        ("s3://old/0", None),
        ("mlflow-artifacts:/0", None),
        ("models:/m-1", None),
    ],
)
def test_only_places_below_the_folder_are_moved_and_keep_their_spelling(place, new):
    assert moved_place(place, {Path("/old"): Path("/new")}) == new
