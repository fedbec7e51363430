"""Versions of registered models: made once with their tags, found by name, version and alias, checked when read."""

from __future__ import annotations

import sqlite3

import pytest

from cvexp.errors import ConfigError, RunError
from cvexp.runs import shortest_selector
from cvexp.settings import store_settings
from cvexp.tracking.queries import find
from cvexp.tracking.registration import add_version, check_alias, check_name, logged_model, move_alias
from cvexp.tracking.registry import FORMAT, WEIGHTS, holder, resolve
from cvexp.tracking.store import open_store

DIGEST = "a" * 64


@pytest.fixture
def store(record):
    record("first", tags={WEIGHTS: DIGEST})
    record("second", tags={WEIGHTS: "b" * 64})
    return open_store(store_settings(record.uri), create=False)


def logged(store, run):
    """A complete logged model of the run."""
    made = store.client.create_logged_model(store.experiment_id, name="model", source_run_id=run.run_id)
    store.client.finalize_logged_model(made.model_id, "READY")


def register(store, run, name="digits", **more):
    tags = {WEIGHTS: run.tags[WEIGHTS], FORMAT: "torch", "test/accuracy": "0.9", **more}
    return add_version(store, run, name, model=logged_model(store, run), tags=tags)


@pytest.fixture
def runs(store):
    found = [find(store, name).run for name in ("first", "second")]
    for run in found:
        logged(store, run)
    return found


def test_a_run_is_registered_once_with_its_tags(store, runs):
    version, is_new = register(store, runs[0])
    again, is_new_again = register(store, runs[0])
    assert (version.version, again.version, is_new, is_new_again) == (1, 1, True, False)
    assert resolve(store, "models:/digits/1").tags == {WEIGHTS: DIGEST, FORMAT: "torch", "test/accuracy": "0.9"}
    assert version.source == logged_model(store, runs[0]).location


def test_other_weights_of_the_run_are_another_version(store, runs):
    register(store, runs[0])
    store.client.set_tag(runs[0].run_id, WEIGHTS, "c" * 64)
    version, is_new = register(store, find(store, "first").run)
    assert (version.version, is_new) == (2, True)


def test_a_version_is_found_by_alias_number_and_latest(store, runs):
    first, second = (register(store, run)[0] for run in runs)
    move_alias(store, first, "champion")
    assert {uri: find(store, uri).run.name for uri in FORMS} == dict(
        zip(FORMS, ("first", "second", "second"), strict=True)
    )
    assert find(store, "models:/digits@champion").note == "models:/digits@champion is version 1, run first"
    move_alias(store, second, "champion")
    assert find(store, "models:/digits@champion").run.name == "second"
    assert holder(store, "digits", "champion").version == 2
    assert holder(store, "digits", "nobody") is None
    assert holder(store, "nothing", "champion") is None


FORMS = ("models:/digits@champion", "models:/digits/2", "models:/digits/latest")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("models:/digit@champion", "did you mean 'digits'?"),
        ("models:/digits@champoin", "did you mean 'champion'?"),
        ("models:/digits/7", "the latest: models:/digits/1"),
        ("models:/digits", "valid: models:/NAME@ALIAS"),
        ("models:/", "valid: models:/NAME@ALIAS"),
        ("models:/digits/0", "the latest"),
        ("models:/digits/Production", "valid: models:/NAME@ALIAS"),
        ("models:/../../x/1", "valid:"),
        ("models:/di\x1bgits/1", "did you mean"),
    ],
)
def test_what_no_version_answers_to_is_refused_with_the_nearest(uri, said, store, runs):
    version, _ = register(store, runs[0])
    move_alias(store, version, "champion")
    with pytest.raises(RunError) as refused:
        find(store, uri)
    assert said in " ".join(refused.value.lines())
    assert "\x1b" not in " ".join(refused.value.lines())


def test_a_version_whose_run_has_other_weights_now_is_refused(store, runs):
    register(store, runs[0])
    store.client.set_tag(runs[0].run_id, WEIGHTS, "c" * 64)
    with pytest.raises(RunError, match="other weights") as refused:
        find(store, "models:/digits/1")
    assert f"cvexp register {runs[0].run_id[:12]} --name digits" in refused.value.hints[0]


def test_a_version_whose_run_was_deleted_says_how_to_restore_it(store, runs):
    register(store, runs[0])
    store.client.delete_run(runs[0].run_id)
    with pytest.raises(RunError, match="was deleted") as refused:
        find(store, "models:/digits/1")
    assert "restore" in refused.value.hints[0]


@pytest.mark.parametrize("run_id", ["", "x' OR 1=1 --", "0" * 32, "../../etc/passwd"])
def test_what_others_wrote_to_the_registry_names_no_run(run_id, store, runs, tmp_path):
    register(store, runs[0])
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        database.execute("UPDATE model_versions SET run_id = ?", (run_id,))
    with pytest.raises(RunError):
        find(store, "models:/digits/1")


def test_a_version_of_a_run_that_cvexp_did_not_write_is_refused(store):
    run = store.client.create_run(store.experiment_id)
    store.client.create_registered_model("theirs")
    store.client.create_model_version("theirs", "somewhere", run_id=run.info.run_id)
    with pytest.raises(RunError, match="not written by cvexp"):
        find(store, "models:/theirs/1")


def test_a_run_without_a_complete_model_is_refused(store):
    run = find(store, "first").run
    store.client.create_logged_model(store.experiment_id, name="model", source_run_id=run.run_id)
    with pytest.raises(RunError, match="no logged model"):
        logged_model(store, run)


def test_the_name_of_a_prompt_is_refused(store, runs, tmp_path):
    store.client.create_registered_model("asked")
    with sqlite3.connect(tmp_path / "mlflow.db") as database:
        row = ("asked", "mlflow.prompt.is_prompt", "true", "default")
        database.execute("INSERT INTO registered_model_tags (name, key, value, workspace) VALUES (?, ?, ?, ?)", row)
    with pytest.raises(RunError, match="is a prompt"):
        register(store, runs[0], "asked")


@pytest.mark.parametrize("name", ["", " ", "a/b", "a:b", "a@b", "..", "-x", "a\nb", "x" * 300, "a'b", " a"])
def test_names_that_cannot_be_selected_are_refused(name):
    with pytest.raises(ConfigError, match="--name"):
        check_name(name)


@pytest.mark.parametrize("alias", ["", "a b", "latest", "v3", "V12", "a/b", "x" * 300, "a\n"])
def test_aliases_that_mlflow_does_not_have_are_refused(alias):
    with pytest.raises(ConfigError, match="--alias"):
        check_alias(alias)


def test_a_run_whose_name_reads_as_a_version_is_named_by_its_id():
    assert shortest_selector("f" * 32, "models:/digits/1", unique=True) == "f" * 12
