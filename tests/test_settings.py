from __future__ import annotations

from pathlib import Path

import pytest

from cvexp.settings import StoreSettings, data_dir, store_settings, without_credentials


@pytest.fixture(autouse=True)
def _in_tmp_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "CVEXP_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_without_a_word_the_store_is_mlflows_own_default_in_this_folder(tmp_path):
    settings = store_settings()
    assert settings.experiment == "Default"
    assert settings.sqlite_file == tmp_path / "mlflow.db"
    assert settings.state_dir == tmp_path / ".cvexp"


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


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("postgresql://me:secret@host/db", "postgresql://host/db"),
        ("https://token@host/x, then http://a:b@c/d", "https://host/x, then http://c/d"),
        ("http://me:se/cr@et@host:5000/x", "http://host:5000/x"),
        ("http://host/a@b", "http://host/a@b"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("mail me@example.org", "mail me@example.org"),
    ],
)
def test_only_the_credentials_leave_an_address(text, clean):
    assert without_credentials(text) == clean


SECRET_KEYS = [
    *("password", "Password", "passwd", "pwd", "PWD", "pass", "sslpassword", "passphrase", "sslkey", "ssl_key"),
    *("token", "access_token", "auth_token", "X-Amz-Security-Token", "X-Amz-Signature", "X-Amz-Credential", "sig"),
    *("auth", "authorization", "api_key", "api-key", "apikey", "APIKey", "key", "AccountKey", "SharedAccessKey"),
    *("secret", "client_secret", "aws_secret_access_key", "sas", "sas_token", "credentials", "private_key", "jwt"),
]


@pytest.mark.parametrize("key", SECRET_KEYS)
def test_the_value_of_a_key_that_names_a_secret_is_left_out_of_an_address(key):
    for text in (
        f"postgresql://host/db?{key}=canary",
        f"postgresql://host/db?sslmode=require&{key}=can%26%3Bary&more=1",
        f"mssql+pyodbc://host/db?driver=x;{key}=canary;more=1",
        f"mssql+pyodbc:///?odbc_connect=DRIVER%3D%7Bx%7D%3BSERVER%3Dh%3B{key}%3Dcanary%3BUID%3Dme",
        f"mssql+pyodbc:///?odbc_connect={key}%3dcanary%3bUID%3dme&more=1",
        f"mssql+pyodbc:///?odbc_connect=DRIVER%253Dx%253B{key}%253Dcanary%253BUID%253Dme",
        f"mssql+pyodbc:///?odbc_connect=DRIVER={{x}};{key}=canary;more=1",
    ):
        cleaned = without_credentials(text)
        assert "can" not in cleaned
        assert "ary" not in cleaned
        assert key in cleaned
        assert ("more=1" in cleaned) == ("more=1" in text)
        assert ("me" in cleaned) == ("me" in text)


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://me:can://ary@host/db",
        "postgresql://me:can ary@host/db",
        "postgresql://me:can a@ry@host/db",
        "http://me:can/a ry@host:5000",
        "postgresql://host/db?password=can ary&sslmode=require",
        "postgresql://host/db?password=can;ary&sslmode=require",
        "postgresql://host/db?password=can'ary",
        "odbc:;PWD=can ary;UID=me",
        "odbc:;PWD={can;a}}ry};UID=me",
        "mssql+pyodbc:///?odbc_connect=PWD%3D%7Bcan%3Ba%7D%7Dry%7D%3BUID%3Dme",
        "mssql+pyodbc:///?odbc_connect=PWD%3Dcan%253Bary%3BUID%3Dme",
        "connection to host=h password=canary user=me failed",
    ],
)
def test_a_password_that_should_have_been_encoded_is_left_out_of_an_address(text):
    cleaned = without_credentials(text)
    for part in ("can", "ary", "ry@", "ry}", "a@"):
        assert part not in cleaned


@pytest.mark.parametrize(
    "text",
    [
        "http://host:5000 does not answer; mail me@example.org",
        "http://host:5000, or mail me@example.org",
        "'http://host:5000' and 'a@b'",
        "http://[::1]:5000/a@b",
        "postgresql://host/db?sslmode=require&author=me&keyboard=us;design=new",
        "cvexp train mlp --model-arg n_tokens=5 --model-arg key=3",
        "a bypass= b; compass=north",
        "http://host/x?monkey=1",
    ],
)
def test_what_is_no_secret_stays(text):
    assert without_credentials(text) == text
