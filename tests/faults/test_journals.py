"""Runs that wait for their store, as real processes: slow stores, lost stores, late resumes, stores of others."""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import socket
import threading
import time

import pytest
from mlflow import MlflowClient

from cvexp.jobs import resume
from cvexp.settings import store_settings
from tests.faults import killing
from tests.faults.test_outages import SLOW, TRAIN, check_whole, folders, wait_for_epoch

pytestmark = pytest.mark.slow


@pytest.mark.campaign
def test_a_run_waits_for_the_server_and_the_experiment_it_was_meant_for(server, tmp_path):
    words = [*TRAIN, "--experiment", "prod", "--tracking-uri", server.uri]
    code, out, err = killing.run(words, tmp_path)
    assert code == 3, err
    n_records = json.loads(out)["undelivered"]
    code, out, err = killing.run(["sync"], tmp_path)
    assert code == 3, out
    assert f"cvexp sync --tracking-uri {server.uri}" in err
    killing.run(["compare"], tmp_path)
    assert not (tmp_path / "mlflow.db").exists()
    server.start()
    code, out, err = killing.run(["sync", "--json", "--tracking-uri", server.uri], tmp_path)
    assert code == 0, err
    assert sum(json.loads(out)["delivered"].values()) == n_records
    client = MlflowClient(server.uri)
    (run,) = client.search_runs([client.get_experiment_by_name("prod").experiment_id])
    assert run.info.status == "FINISHED"
    check_whole(server.uri, 4)


@contextlib.contextmanager
def delayed(port, seconds):
    """The port of a proxy that holds back everything sent to `port` on loopback, and every answer, for so long."""

    def copy(source, sink):
        with contextlib.suppress(OSError):
            while chunk := source.recv(65536):
                time.sleep(seconds / 2)
                sink.sendall(chunk)
            sink.shutdown(socket.SHUT_WR)

    def serve():
        with contextlib.suppress(OSError):
            while True:
                near, _ = listening.accept()
                far = socket.create_connection(("127.0.0.1", port))
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=copy, args=pair, daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]


@pytest.mark.campaign
def test_a_slow_server_gets_everything_before_the_command_ends(running, tmp_path):
    with delayed(running.port, 0.15) as port:
        words = ["train", "linear", "--dataset", "digits", "--epochs", "60", "--device", "cpu", "--json"]
        code, out, err = killing.run([*words, "--tracking-uri", f"http://127.0.0.1:{port}"], tmp_path)
    assert code == 0, err
    assert json.loads(out)["undelivered"] == 0
    check_whole(running.uri, 60)


def test_a_run_whose_database_is_deleted_under_it_is_created_again(tmp_path):
    process = killing.start(SLOW, tmp_path)
    wait_for_epoch(tmp_path, 2)
    for file in tmp_path.glob("mlflow.db*"):
        file.unlink()
    code, _, err = killing.finish(process)
    assert code in (0, 3), err
    if code == 3:
        code, _, err = killing.run(["sync"], tmp_path)
        assert code == 0, err
    check_whole(f"sqlite:///{tmp_path}/mlflow.db", 8)
    assert not folders(tmp_path)


@pytest.mark.parametrize("kind", ["deleted", pytest.param("restored", marks=pytest.mark.campaign)])
def test_an_interrupted_run_goes_on_although_the_store_lost_it(tmp_path, kind):
    process = killing.start(SLOW, tmp_path)
    wait_for_epoch(tmp_path, 1)
    time.sleep(1)  # until the store has them too
    shutil.copy(tmp_path / "mlflow.db", tmp_path / "backup")
    wait_for_epoch(tmp_path, 3)
    process.send_signal(signal.SIGTERM)
    code, _, err = killing.finish(process)
    assert code == 143
    command = next(line for line in err.splitlines() if "--resume" in line).split("cvexp ")[1].split()
    (tmp_path / "mlflow.db").unlink()
    if kind == "restored":
        (tmp_path / "backup").rename(tmp_path / "mlflow.db")
    code, _, err = killing.run([*command, "--json"], tmp_path)
    assert code == 0, err
    check_whole(f"sqlite:///{tmp_path}/mlflow.db", 8, n_failed=1)


def test_a_resume_that_starts_while_another_goes_on_harms_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    process = killing.start(SLOW, tmp_path)
    wait_for_epoch(tmp_path, 6)
    process.send_signal(signal.SIGTERM)
    assert killing.finish(process)[0] == 143
    settings, codes = store_settings(f"sqlite:///{tmp_path}/mlflow.db"), []
    original = resume.known_tags

    def late(*arguments, **keywords):
        """The other resume runs while this one has read the folder and not opened the run yet."""
        codes.append(killing.run(["train", "--resume", "@last"], tmp_path)[0])
        return original(*arguments, **keywords)

    monkeypatch.setattr(resume, "known_tags", late)
    resume.run("@last", settings, data_dir=tmp_path / "data", command=["cvexp"])
    assert codes == [2]  # it was told that the run is being written
    check_whole(settings.tracking_uri, 8, n_failed=1)
    for words in (["evaluate", "@last", "--device", "cpu"], ["export", "@last"]):
        code, _, err = killing.run(words, tmp_path)
        assert code == 0, err
