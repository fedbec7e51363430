"""A sweep whose driver is killed, interrupted, started twice, or has no store: every point is trained once.

Ten times each: pytest -n0 -m campaign tests/faults/test_sweeps.py
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter

import pytest
from mlflow import MlflowClient

from cvexp.runs import SWEEP, TRIAL, TRIAL_NUMBER
from tests.faults import killing
from tests.faults.serving import Server

pytestmark = pytest.mark.campaign

TIMES = 10
WITHIN = 900  # seconds: a machine that others use may be slow
N_TRIALS = 6
FILE = f"""
experiment: swept
defaults: {{model: tinyvgg, dataset: mnist-5k, limit: 600, val_split: 0.2, epochs: 6, device: cpu, threads: 1}}
sweep:
  search: random
  runs: {N_TRIALS}
  space:
    lr: {{low: 0.001, high: 0.1, log: true}}
    hidden_units: {{low: 4, high: 12}}
"""


def start(folder, *words, search="random", env=None):
    """`cvexp run` with two workers in a process group of its own, as a terminal starts it."""
    (folder / "file.yaml").write_text(FILE.replace("search: random", f"search: {search}"))
    return subprocess.Popen(
        [sys.executable, "-m", "cvexp", "run", "file.yaml", "--workers", "2", "--json", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=killing.heeding,
    )


def finish(process, code=0):
    """What the process printed, once it has ended with that code."""
    got, out, err = killing.finish(process, WITHIN)
    assert got == code, err
    return out, err


def checkpoints(folder, n_runs):
    """Wait until so many runs have a checkpoint."""
    deadline = time.monotonic() + WITHIN
    while len({file.parent for file in folder.glob(".cvexp/runs/*/checkpoints/*.pt")}) < n_runs:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stored(folder, uri=None):
    client = MlflowClient(uri or f"sqlite:///{folder}/mlflow.db")
    return client.search_runs([client.get_experiment_by_name("swept").experiment_id])


def check_complete(runs, document):
    """Each trial finished once, none is open, and no point was drawn twice."""
    finished = Counter(run.data.tags[TRIAL] for run in runs if run.info.status == "FINISHED")
    assert len(finished) == N_TRIALS
    assert set(finished.values()) == {1}
    assert not any(run.info.status == "RUNNING" for run in runs)
    assert len({run.data.tags[TRIAL_NUMBER] for run in runs}) == N_TRIALS
    assert len({json.dumps(one["point"]) for one in document["trials"]}) == N_TRIALS
    assert {run.data.tags[SWEEP] for run in runs} == {document["digest"]}
    assert not any(key.startswith("test/") for run in runs for key in run.data.metrics)


def end_of(folder, **how):
    out, _ = finish(start(folder, **how))
    return json.loads(out)["sweep"]


@pytest.mark.parametrize("nth", range(TIMES))
def test_a_killed_driver_loses_no_trial_and_no_point_is_drawn_twice(tmp_path, nth):
    search = ("random", "tpe")[nth % 2]
    driver = start(tmp_path, search=search)
    checkpoints(tmp_path, 1)
    time.sleep(random.Random(nth).uniform(0, 3))
    os.kill(driver.pid, signal.SIGKILL)
    driver.communicate()
    document = end_of(tmp_path, search=search)
    check_complete(stored(tmp_path), document)


@pytest.mark.parametrize("nth", range(TIMES))
def test_ctrl_c_leaves_checkpoints_and_the_same_command_goes_on(tmp_path, nth):
    driver = start(tmp_path)
    checkpoints(tmp_path, 2)
    time.sleep(random.Random(nth).uniform(0, 2))
    began = time.monotonic()
    os.killpg(driver.pid, signal.SIGINT)
    _, err = finish(driver, 130)
    assert time.monotonic() - began < 20  # ten on an idle machine
    assert "give the same command again to go on" in err
    statuses = Counter(run.info.status for run in stored(tmp_path))
    assert not statuses["RUNNING"]
    document = end_of(tmp_path)
    check_complete(stored(tmp_path), document)


def test_a_file_that_is_submitted_twice_at_once_is_trained_once(tmp_path):
    first = start(tmp_path)
    checkpoints(tmp_path, 1)
    _, err = finish(start(tmp_path), 2)
    assert "is being trained by another process" in err
    out, _ = finish(first)
    check_complete(stored(tmp_path), json.loads(out)["sweep"])
    assert end_of(tmp_path)["trained_now"] == 0


def test_without_a_store_every_point_is_delivered_later_exactly_once(tmp_path):
    server = Server(tmp_path)
    env = {"MLFLOW_TRACKING_URI": server.uri}
    _, err = finish(start(tmp_path, env=env), 3)
    assert "wait to be delivered" in err
    _, err = finish(start(tmp_path, env=env), 3)
    server.start()
    try:
        command = [sys.executable, "-m", "cvexp", "sync", "--experiment", "swept"]
        subprocess.run(command, cwd=tmp_path, env={**os.environ, **env}, check=True, capture_output=True)
        document = end_of(tmp_path, env=env)
        assert document["trained_now"] == 0
        check_complete(stored(tmp_path, server.uri), document)
    finally:
        server.kill()
