from __future__ import annotations

import multiprocessing

import pytest

from cvexp.errors import Interrupted, StoreError
from cvexp.events import MetricsLogged
from cvexp.settings import store_settings
from cvexp.tracking.outbox import open_run
from cvexp.tracking.store import open_store


@pytest.fixture
def store(lab):
    return open_store(store_settings(lab.settings.tracking_uri, "endings"), create=True)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, "FINISHED"),
        (ValueError("no"), "FAILED"),
        (SystemExit(3), "FAILED"),
        (KeyboardInterrupt(), "KILLED"),
        (Interrupted(15), "KILLED"),
    ],
)
def test_however_the_block_ends_the_run_is_closed(store, error, status):
    class Left(BaseException):
        pass

    run_id = ""
    try:
        with open_run(store.settings, model="linear", name=None, tags={}) as run:
            run_id = run.run_id
            if error is not None:
                raise error
    except type(error or Left()):
        pass
    found = store.client.get_run(run_id)
    assert found.info.status == status
    assert ("cvexp.end_reason" in found.data.tags) == (error is not None)


def test_a_run_is_named_after_its_model_and_id(store):
    with open_run(store.settings, model="tinyvgg", name=None, tags={}) as run:
        assert run.name == f"tinyvgg-{run.run_id[:6]}"
    assert store.client.get_run(run.run_id).info.run_name == run.name


def test_credentials_never_reach_a_tag(store):
    tags = {"cvexp.command": "cvexp train linear --tracking-uri http://ada:secret@host:5000"}
    with open_run(store.settings, model="linear", name=None, tags=tags) as run:
        pass
    assert store.client.get_run(run.run_id).data.tags["cvexp.command"].endswith("http://host:5000")


def test_time_spent_on_writing_is_added_up(store):
    with open_run(store.settings, model="linear", name=None, tags={}) as run:
        before = run.seconds
        run.emit(MetricsLogged(values={"train/loss": 1.0}, step=1))
        assert run.seconds > before > 0


def _open(uri, queue):
    try:
        open_store(store_settings(uri), create=True)
        queue.put("opened")
    except BaseException as error:  # noqa: BLE001 - the parent reports it
        queue.put(repr(error))


@pytest.mark.slow
def test_processes_that_create_one_store_at_once_all_succeed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    processes = [context.Process(target=_open, args=(uri, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=180) for _ in processes]
    for process in processes:
        process.join(60)
    assert answers == ["opened"] * 3


@pytest.mark.parametrize(
    "uri",
    [
        "sqlit:///mlflow.db",
        "mlruns",
        "file:./mlruns",
        "sqlite://mlflow.db",
        "sqlite:////proc/nowhere/mlflow.db",
        "sqlite:////dev/null/mlflow.db",
    ],
)
def test_a_store_that_cannot_be_is_refused_at_once(uri, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError):
        open_store(store_settings(uri), create=True)
    assert not list(tmp_path.iterdir())


def test_reading_where_nothing_is_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StoreError, match="no runs here yet"):
        open_store(store_settings(), create=False)
    assert not list(tmp_path.iterdir())


def test_a_file_that_is_no_database_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlflow.db").write_text("my diary")
    with pytest.raises(StoreError, match="not an SQLite database"):
        open_store(store_settings(), create=True)
    assert (tmp_path / "mlflow.db").read_text() == "my diary"


def test_a_server_that_is_not_there_is_said_in_a_line(monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreError, match="does not answer") as refused:
        open_store(store_settings("http://ada:secret@127.0.0.1:9"), create=True)
    assert "secret" not in " ".join(refused.value.lines())
