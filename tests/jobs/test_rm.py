from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelOutput, ViewType

from cvexp.errors import RunError, StoreError
from cvexp.jobs import rm
from cvexp.settings import store_settings
from cvexp.tracking import removal

TABLES = ("runs", "metrics", "latest_metrics", "params", "tags", "inputs", "logged_models", "logged_model_metrics")


@pytest.fixture
def settings(record):
    return store_settings(record.uri)


@pytest.fixture
def client(record):
    return MlflowClient(record.uri)


def with_files(client, run_id, *, model=True):
    """Give a run an artifact, a logged model and a local folder, and return their folders."""
    client.log_text(run_id, "0.5", "weights.txt")
    folders = [Path(client.get_run(run_id).info.artifact_uri.removeprefix("file://")).parent]
    if model:
        made = client.create_logged_model("0", name="model", source_run_id=run_id)
        client.log_outputs(run_id, [LoggedModelOutput(made.model_id, step=0)])
        place = Path(made.artifact_location.removeprefix("file://"))
        place.mkdir(parents=True)
        (place / "MLmodel").write_text("flavors: {}")
        folders.append(place.parent)
    return folders


def rows():
    with sqlite3.connect("mlflow.db") as database:
        return {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}  # noqa: S608


def active(client):
    return {run.info.run_name for run in client.search_runs(["0"], run_view_type=ViewType.ACTIVE_ONLY)}


def remove(settings, *selectors, **wanted):
    store, planned = rm.plan(rm.Wanted(selectors=selectors, **wanted), settings)
    return rm.carry_out(store, planned)


def test_removed_runs_are_in_the_trash_with_their_files_and_can_be_restored(record, settings, client):
    folders = with_files(client, record("one"))
    record("two")
    remove(settings, "one")
    assert active(client) == {"two"}
    assert all(folder.is_dir() for folder in folders)
    rm.restore(["one"], settings)
    assert active(client) == {"one", "two"}


def test_a_purge_leaves_no_row_and_no_file_of_the_run_and_all_others_also_in_the_trash(record, settings, client):
    kept = with_files(client, record("kept", figures={"test/loss": 1.0}))
    client.delete_experiment(client.create_experiment("elsewhere"))
    client.delete_logged_model(client.create_logged_model("0", name="spare").model_id)
    before = rows()
    gone = with_files(client, record("gone", figures={"test/loss": 2.0}))
    result = remove(settings, "gone", purge=True)
    assert result.n_bytes
    assert rows() == before
    assert all(folder.is_dir() for folder in kept)
    assert not any(folder.exists() for folder in gone)
    assert [one.name for one in client.search_experiments(view_type=ViewType.DELETED_ONLY)] == ["elsewhere"]


@pytest.mark.slow
@pytest.mark.parametrize("step", ["_remove_all", "_hard_delete_run"])
def test_a_purge_that_was_interrupted_is_finished_by_the_same_command(record, settings, client, monkeypatch, step):
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    folders = with_files(client, record("one"))
    with monkeypatch.context() as patched:

        def interrupt(*_):
            raise KeyboardInterrupt

        patched.setattr(SqlAlchemyStore if hasattr(SqlAlchemyStore, step) else removal, step, interrupt)
        with pytest.raises(KeyboardInterrupt):
            remove(settings, "one", purge=True)
    assert "one" not in active(client)
    remove(settings, "one", purge=True)
    assert set(rows().values()) == {0}
    assert not any(folder.exists() for folder in folders)


def test_protected_running_and_registered_runs_are_refused_with_the_reason(record, settings, client):
    record("protected", tags={"cvexp.protected": "yes"})
    record("running", status="RUNNING")
    registered = record("registered")
    client.create_registered_model("digits")
    client.create_model_version("digits", "file:///nowhere", run_id=registered)
    for name, reason in {"protected": "protected", "running": "under way", "registered": "digits/1"}.items():
        with pytest.raises(RunError, match=reason):
            remove(settings, name, purge=True)
    assert active(client) == {"protected", "running", "registered"}


def test_a_filter_leaves_out_what_must_not_go(record, settings, client):
    record("one", model="mlp")
    record("kept", model="mlp", tags={"cvexp.protected": "yes"})
    record("other", model="linear")
    result = remove(settings, where="params.model = 'mlp'")
    assert [one.run.name for one in result.runs] == ["one"]
    assert [(one.run.name, bool(one.refusal)) for one in result.kept] == [("kept", True)]
    assert active(client) == {"kept", "other"}


def test_a_group_is_the_other_seeds_and_the_runs_below(record, settings, client):
    recipe = {"cvexp.recipe": "0123456789abcdef"}
    first = record("first", seed=1, tags=recipe)
    record("second", seed=2, tags=recipe)
    record("child", tags={"mlflow.parentRunId": first})
    record("other", seed=3, tags={"cvexp.recipe": "fedcba9876543210"})
    remove(settings, "first", group=True)
    assert active(client) == {"other"}


def test_protection_comes_and_goes(record, settings, client):
    run_id = record("one")
    rm.protect(["one"], settings, on=True)
    assert client.get_run(run_id).data.tags["cvexp.protected"] == "yes"
    rm.protect(["one"], settings, on=False)
    remove(settings, "one")
    assert active(client) == set()


def test_a_store_that_names_another_folder_has_nothing_removed_there(record, settings, client, tmp_path):
    run_id = record("hostile")
    precious = tmp_path / "precious" / "artifacts"
    precious.mkdir(parents=True)
    with sqlite3.connect("mlflow.db") as database:
        database.execute("UPDATE runs SET artifact_uri = ? WHERE run_uuid = ?", (str(precious), run_id))
    remove(settings, "hostile", purge=True)
    assert precious.is_dir()
    assert active(client) == set()


def test_a_server_refuses_a_purge(settings):
    with pytest.raises(StoreError, match="trash"):
        removal.check_purge(removal_store("http://127.0.0.1:5000"))


def removal_store(uri):
    from cvexp.tracking.store import Store

    return Store(settings=store_settings(uri), experiment_id="0")


def test_the_command_lists_and_does_nothing_without_yes(record, cvexp, client):
    record("one")
    shown = cvexp("rm", "one")
    assert shown.code == 0
    assert "1 run would go to MLflow's trash" in shown.stdout
    assert "add --yes" in shown.stderr
    assert active(client) == {"one"}
    done = cvexp("rm", "one", "--yes", "--json")
    assert done.document["done"] is True
    assert active(client) == set()


WRONG = {
    "no run": (("rm",), "no run is named"),
    "names and a filter": (("rm", "x", "--where", "a"), "at once"),
    "a group of a filter": (("rm", "--where", "params.model = 'mlp'", "--group"), "--group"),
    "a run that is not there": (("rm", "nobody"), "'nobody'"),
    "a moving name": (("rm", "@last", "--purge"), "'@last'"),
    "a filter nobody can read": (("rm", "--where", "model is mlp"), "model is mlp"),
    "nothing to restore": (("rm", "--restore", "nobody"), "the trash is empty"),
    "restoring for good": (("rm", "x", "--restore", "--purge"), "no other flag"),
    "protecting nothing": (("rm", "--protect"), "no run is named"),
    "one end of a move": (("relocate", "--from", "/old"), "without --to"),
    "a move to nowhere": (("relocate", "--from", "/old", "--to", "/nowhere"), "/nowhere"),
    "a server that was moved": (("relocate", "--tracking-uri", "http://127.0.0.1:9"), "local store"),
    "a file that is not there": (("import", "nothing.csv"), "nothing.csv"),
    "a cache of one dataset": (("data", "digits", "--clear-cache"), "--clear-cache"),
}


@pytest.mark.parametrize(("words", "named"), WRONG.values(), ids=list(WRONG))
def test_wrong_uses_are_refused_in_three_lines(record, cvexp, words, named):
    refused = cvexp(*words)
    assert refused.code == 2
    assert named in refused.stderr
    assert refused.stderr.startswith("error: ")
    assert len(refused.stderr.splitlines()) <= 3
    assert not refused.stdout
