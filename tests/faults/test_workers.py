"""Several workers train one experiment file, and things are killed: what is finished stays, and nothing is done twice.

One journey through most of it is slow; each fault ten times: pytest -n0 -m campaign tests/faults/test_workers.py
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import psutil
import pytest
from mlflow import MlflowClient

from cvexp.errors import RunError
from cvexp.tracking.journal import Journal
from tests.faults import killing

TIMES = 10
FILE = """
experiment: workers
defaults: {model: tinyvgg, dataset: mnist-5k, limit: 1000, val_split: 0.2, epochs: 12, device: cpu, threads: 1}
runs: [{name: first, seed: 1}, {name: again, seed: 1, target_accuracy: 0.9}, {name: other, seed: 2}]
"""
"""The first two differ in a figure that is reported, and train alike, so that one of them is the other's proof."""

N_RUNS = 3
WITHIN = 600
N_EPOCHS = 12


def start(folder, *words, env=None):
    """`cvexp run` with two workers in a process group of its own, as a terminal starts it."""
    (folder / "file.yaml").write_text(FILE)
    return subprocess.Popen(
        [sys.executable, "-m", "cvexp", "run", "file.yaml", "--workers", "2", "--lean", "--json", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=killing.heeding,
    )


def finish_by(folder, **settings):
    """What the same command prints when it is given again, and goes through."""
    code, out, err = killing.finish(start(folder, **settings), WITHIN)
    assert code == 0, err
    return json.loads(out)


def workers(driver):
    found = []
    for one in psutil.Process(driver.pid).children():
        with contextlib.suppress(psutil.Error):  # it has just ended
            found += [one] if "cvexp.executors.worker" in one.cmdline() else []
    return found


def under_way(folder, driver, n_runs=1):
    """The folders of runs that workers of this driver train, and that have a checkpoint, once there are so many."""

    def found():
        pids = {str(one.pid) for one in workers(driver)}
        runs = {file.parents[1] for file in folder.glob(".cvexp/runs/*/checkpoints/*.pt")}
        with contextlib.suppress(OSError, RunError):  # one of them has just ended
            trained = sorted(run for run in runs if Journal(run).tags.get("cvexp.pid") in pids)
            return trained if len(trained) >= n_runs else []

    return killing.until(found)


def stored(folder, uri=None):
    """All runs of the experiment that the store has."""
    client = MlflowClient(uri or f"sqlite:///{folder}/mlflow.db")
    return client.search_runs([client.get_experiment_by_name("workers").experiment_id])


def check_finished(runs):
    """Each run of the file is finished once, none is left open, and the two equal ones have equal weights."""
    finished = {run.info.run_name: run.data.tags for run in runs if run.info.status == "FINISHED"}
    counts = Counter(run.info.run_name for run in runs if run.info.status == "FINISHED")
    assert counts == {"first": 1, "again": 1, "other": 1}
    assert not any(run.info.status == "RUNNING" for run in runs)
    assert finished["first"]["cvexp.weights_sha256"] == finished["again"]["cvexp.weights_sha256"]


def check_points(runs, uri):
    """One point an epoch of every figure."""
    client = MlflowClient(uri)
    for run in runs:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "train/loss")]
        assert steps == list(range(1, N_EPOCHS + 1)), run.info.run_name


def gone(processes):
    """Wait until these have ended."""
    killing.until(lambda: not any(one.is_running() and one.status() != psutil.STATUS_ZOMBIE for one in processes), 90)


@pytest.fixture
def folder(tmp_path, empty_store):
    """A working folder with an empty store; making one takes seconds."""
    empty_store(tmp_path)
    return tmp_path


@pytest.mark.slow
def test_a_worker_is_killed_then_the_driver_then_all_is_interrupted_and_at_the_end_everything_is_there_once(folder):
    driver = start(folder)
    os.kill(int(Journal(under_way(folder, driver)[0]).tags["cvexp.pid"]), signal.SIGKILL)
    killing.until(lambda: any(run.data.tags["cvexp.attempt"] == "2" for run in stored(folder)))
    orphans = workers(driver)
    driver.kill()
    killing.finish(driver, WITHIN)
    gone(orphans)
    driver = start(folder)
    under_way(folder, driver)
    os.killpg(driver.pid, signal.SIGINT)
    code, out, err = killing.finish(driver, WITHIN)
    assert (code, out) == (130, "")
    assert "give the same command again to go on" in err
    assert "RUNNING" not in {run.info.status for run in stored(folder)}
    finish_by(folder)
    runs = stored(folder)
    check_finished(runs)
    check_points(runs, f"sqlite:///{folder}/mlflow.db")
    assert len(runs) == N_RUNS


@pytest.mark.campaign
@pytest.mark.parametrize("nth", range(TIMES))
def test_a_killed_worker_loses_its_trial_only_which_goes_on_with_the_same_bits(folder, nth):
    driver = start(folder)
    hit = under_way(folder, driver)[0]
    time.sleep(0.1 * nth)
    victim = int(Journal(hit).tags["cvexp.pid"])
    os.kill(victim, signal.SIGKILL)
    code, out, err = killing.finish(driver, WITHIN)
    assert code == 0, err
    assert err.count("its worker was killed by SIGKILL, in attempt 1") == 1
    assert json.loads(out)["trained"] == N_RUNS
    runs = stored(folder)
    check_finished(runs)
    check_points(runs, f"sqlite:///{folder}/mlflow.db")
    assert sorted(run.data.tags["cvexp.attempt"] for run in runs) == ["1", "1", "2"]


@pytest.mark.campaign
@pytest.mark.parametrize("nth", range(TIMES))
def test_workers_of_a_killed_driver_keep_checkpoints_and_leave_and_the_same_command_finishes(folder, nth):
    driver = start(folder)
    under_way(folder, driver, 2)
    orphans = workers(driver)
    time.sleep(0.1 * nth)
    driver.kill()
    killing.finish(driver, WITHIN)
    begun = {run.info.run_id for run in stored(folder)}
    if nth % 2:  # else the command is given again while they leave
        started = time.monotonic()
        gone(orphans)
        assert time.monotonic() - started < 10
    assert finish_by(folder)["trained"] >= 1
    gone(orphans)
    runs = stored(folder)
    check_finished(runs)
    check_points(runs, f"sqlite:///{folder}/mlflow.db")
    assert begun <= {run.info.run_id for run in runs}
    assert len(runs) == N_RUNS
    assert finish_by(folder)["trained"] == 0


@pytest.mark.campaign
@pytest.mark.parametrize("nth", range(TIMES))
def test_ctrl_c_stops_all_with_checkpoints_and_the_same_command_goes_on(folder, nth):
    driver = start(folder)
    under_way(folder, driver, 2)
    processes = workers(driver)
    time.sleep(0.1 * nth)
    started = time.monotonic()
    signum = signal.SIGTERM if nth % 2 else signal.SIGINT
    (os.kill if nth % 2 else os.killpg)(driver.pid, signum)
    code, out, err = killing.finish(driver, WITHIN)
    assert time.monotonic() - started < 10
    assert (code, out) == (128 + signum, "")
    complaint = err[err.index("error:") :].splitlines()
    assert complaint[0] == f"error: interrupted by {signal.Signals(signum).name}"
    assert "under way kept their checkpoints" in complaint[1]
    assert complaint[2:] == ["  give the same command again to go on"]
    gone(processes)
    runs = stored(folder)
    assert {run.info.status for run in runs} <= {"KILLED", "FINISHED"}
    assert all(
        (folder / ".cvexp/runs" / run.info.run_id / "checkpoints").is_dir()
        for run in runs
        if run.info.status == "KILLED"
    )
    finish_by(folder)
    runs = stored(folder)
    check_finished(runs)
    assert len(runs) == N_RUNS


@pytest.mark.campaign
def test_a_second_ctrl_c_leaves_at_once(folder):
    driver = start(folder)
    under_way(folder, driver, 2)
    processes = workers(driver)
    for one in processes:
        one.suspend()  # so that the first one cannot be obeyed before the second
    os.killpg(driver.pid, signal.SIGINT)
    time.sleep(1)
    started = time.monotonic()
    os.killpg(driver.pid, signal.SIGINT)
    code, _, err = killing.finish(driver, WITHIN)
    assert time.monotonic() - started < 2
    assert code == 130
    assert "stopped at once by a second signal" in err
    for one in processes:
        one.resume()
    gone(processes)
    finish_by(folder)
    check_finished(stored(folder))


@pytest.fixture
def full_disk():
    """Puts a file system without room over a folder; making one takes a privilege."""
    with contextlib.ExitStack() as mounted:

        def mount(folder):
            words = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(folder)]
            if subprocess.run(words, capture_output=True, check=False).returncode:
                pytest.skip("mounting a tmpfs is not allowed here")
            mounted.callback(subprocess.run, ["umount", "-l", str(folder)], check=True)

        yield mount, mounted.close


@pytest.mark.campaign
@pytest.mark.parametrize("nth", range(TIMES))
def test_a_full_disk_ends_one_trial_only_and_the_same_command_goes_on_when_there_is_room(folder, nth, full_disk):
    mount, unmount = full_disk
    driver = start(folder)
    hit = under_way(folder, driver)[0]
    time.sleep(0.1 * nth)
    mount(hit / "checkpoints")
    code, _, err = killing.finish(driver, WITHIN)
    unmount()
    assert code == 1, err
    assert "No space left on device" in err
    assert f"{N_RUNS - 1} of {N_RUNS} runs are trained" in err
    assert len(err[err.index("error:") :].splitlines()) <= 3
    assert finish_by(folder)["trained"] == 1
    runs = stored(folder)
    check_finished(runs)
    assert len(runs) == N_RUNS


@pytest.mark.campaign
@pytest.mark.parametrize("nth", range(TIMES))
def test_a_store_that_is_away_for_the_whole_plan_gets_every_point_once_by_sync(folder, nth, server):
    env = {"MLFLOW_TRACKING_URI": server.uri}
    driver = start(folder, env=env)
    code, out, err = killing.finish(driver, WITHIN)
    assert (code, out) == (3, ""), err
    assert "all runs are trained" in err
    assert "cvexp sync" in err
    code, _, err = killing.finish(start(folder, env=env), WITHIN)
    assert "trained already" in err
    assert code in (2, 3)  # nothing is trained twice, and the comparison cannot be read
    server.start()
    code, _, err = killing.run(["sync"], folder, env=env)
    assert code == 0, err
    runs = stored(folder, server.uri)
    check_finished(runs)
    check_points(runs, server.uri)
    assert len(runs) == N_RUNS
    del nth
