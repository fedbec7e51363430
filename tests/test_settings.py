from __future__ import annotations

from pathlib import Path

import pytest

from cvexp.settings import StoreSettings, data_dir, store_settings


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "CVEXP_DATA_DIR", "CVEXP_STATE_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_word_the_store_is_mlflows_own_default_in_this_folder(tmp_path):
    settings = store_settings()
    assert settings.experiment == "Default"
    assert settings.sqlite_file == tmp_path / "mlflow.db"
    assert settings.state_dir == tmp_path / ".cvexp"


def test_the_environment_names_another_folder_for_local_state_whatever_the_store(tmp_path, monkeypatch):
    monkeypatch.setenv("CVEXP_STATE_DIR", "state")
    assert {store_settings().state_dir, store_settings("http://host:5000").state_dir} == {tmp_path / "state"}
    monkeypatch.setenv("CVEXP_STATE_DIR", "")
    assert store_settings().state_dir == tmp_path / ".cvexp"


def test_an_argument_beats_the_environment_which_beats_the_default(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://from.environment")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "from environment")
    assert store_settings() == StoreSettings(tracking_uri="http://from.environment", experiment="from environment")
    assert store_settings("http://typed", "typed") == StoreSettings(tracking_uri="http://typed", experiment="typed")


def test_an_empty_variable_counts_as_unset(monkeypatch):
    usual = store_settings(), data_dir()
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "CVEXP_DATA_DIR"):
        monkeypatch.setenv(name, "")
    assert (store_settings(), data_dir()) == usual


def test_a_relative_store_stays_where_it_was_when_the_folder_changes(tmp_path, monkeypatch):
    settings = store_settings("sqlite:///runs/here.db")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert settings.sqlite_file == tmp_path / "runs" / "here.db"
    assert store_settings(settings.tracking_uri) == settings


@pytest.mark.parametrize(
    ("uri", "file"),
    [
        ("sqlite:////abs/mlflow.db", "/abs/mlflow.db"),
        ("sqlite+pysqlite:////abs/mlflow.db", "/abs/mlflow.db"),
        ("sqlite:////abs/mlflow.db?timeout=20", "/abs/mlflow.db"),
        ("http://localhost:5000", None),
        ("postgresql://u:p@host/db", None),
        ("./mlruns", None),
    ],
)
def test_only_a_local_database_has_a_file(uri, file):
    settings = store_settings(uri)
    assert settings.tracking_uri == uri
    assert settings.sqlite_file == (Path(file) if file else None)


@pytest.mark.parametrize(
    ("uri", "folder"), [("sqlite:////abs/mlflow.db", "/abs/.cvexp"), ("http://localhost:5000", ".cvexp")]
)
def test_local_state_lies_beside_the_database_else_in_this_folder(uri, folder):
    assert store_settings(uri).state_dir == Path(folder)


@pytest.mark.parametrize("name", ["q?x", "a%20b", "100%25", "%", "a#b", 'it\'s "so" ünï & co;', "a:b@c"])
def test_sqlalchemy_opens_the_default_store_in_a_folder_of_any_name(name, tmp_path, monkeypatch):
    from sqlalchemy.engine import make_url

    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(folder)
    settings = store_settings()
    assert make_url(settings.tracking_uri).database == str(folder / "mlflow.db")
    assert settings.sqlite_file == folder / "mlflow.db"
    assert settings.state_dir == folder / ".cvexp"
    assert store_settings(settings.tracking_uri) == settings


def test_what_is_percent_encoded_in_an_address_is_decoded_as_sqlalchemy_does():
    settings = store_settings("sqlite:////abs/a%20b/mlflow.db?timeout=20")
    assert settings.sqlite_file == Path("/abs/a b/mlflow.db")
    assert settings.tracking_uri == "sqlite:////abs/a b/mlflow.db?timeout=20"


def test_what_follows_the_path_of_a_relative_store_is_kept(tmp_path):
    assert store_settings("sqlite:///a.db?timeout=20").tracking_uri == f"sqlite:///{tmp_path}/a.db?timeout=20"


def test_the_data_directory_is_the_argument_then_the_variable_then_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert data_dir() == tmp_path / "cache" / "cvexp" / "data"
    monkeypatch.setenv("CVEXP_DATA_DIR", str(tmp_path / "named"))
    assert data_dir() == tmp_path / "named"
    assert data_dir(tmp_path / "given") == tmp_path / "given"


def test_the_home_folder_may_be_written_as_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert data_dir(Path("~/sets")) == tmp_path / "sets"
    monkeypatch.setenv("CVEXP_DATA_DIR", "~/named")
    assert data_dir() == tmp_path / "named"
