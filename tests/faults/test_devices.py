"""One training in two real processes: the figures of one, and what is left when one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from cvexp.config import run_config
from cvexp.jobs import train
from cvexp.settings import store_settings
from tests.faults import killing

TRAIN = ["train", "tinyvgg", "--dataset", "digits", "--epochs", "3", "--optimizer", "adam", "--val-split", "0.15"]
TWO = ["--device", "cpu", "--devices", "2", "--keep", "1"]
AGENT = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "--max-restarts", "1"]
NEW = {"PYTHONPATH": str(killing.ROOT), "COLUMNS": "80"}


def start(command, folder):
    """A command as a process of its own, with a shell's signals."""
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    env = {**os.environ, **NEW, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, cwd=folder, env=env, preexec_fn=killing.heeding, **pipes)


def cvexp(*words):
    return [sys.executable, "-P", "-m", "cvexp", *words]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A training that nothing interrupts: what it printed, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    code, out, err = killing.finish(start(cvexp(*TRAIN, *TWO, "--json"), folder))
    assert code == 0, err
    return json.loads(out), err, folder


@pytest.mark.slow
def test_two_processes_give_the_figures_of_one_and_one_of_them_speaks(whole, tmp_path, monkeypatch):
    result, err, folder = whole
    monkeypatch.chdir(tmp_path)
    asked = {"model": "tinyvgg", "dataset": "digits", "epochs": 3, "optimizer": "adam", "val_split": 0.15}
    config = run_config({**asked, "device": "cpu", "threads": 1})
    alone = train.run(config, store_settings(f"sqlite:///{tmp_path}/mlflow.db", "Default"), data_dir=tmp_path)
    ours = [{key: one[key] for key in one if not killing.is_time(key)} for one in result["history"]]
    theirs = [{key: value for key, value in one.keyed().items() if not killing.is_time(key)} for one in alone.history]
    for one, other in zip(ours, theirs, strict=True):
        assert {key: one[key] for key in other} == pytest.approx(other, abs=0.005)
    assert result["metrics"]["test/accuracy"] == pytest.approx(alone.evaluation.metrics.accuracy, abs=0.005)
    assert int(alone.evaluation.confusion.sum()) == 360
    lines = err.splitlines()
    assert [line for line in lines if not line.startswith(("run ", "model", "data", "device", "epoch", "machine"))] == [
        "         2 processes (gloo) share each batch: sums are rounded in another order"
    ]
    run, _ = killing.logged(folder)
    assert json.loads(run.data.tags["cvexp.conditions"])["devices"] == 2
    assert run.data.tags["cvexp.step_runner"].startswith("eager (2 processes")
    assert sorted(path.name for path in folder.iterdir()) == [".cvexp", "mlflow.db", "mlruns"]


@pytest.mark.slow
def test_a_killed_process_is_restarted_and_the_run_ends_with_the_same_bits(whole, tmp_path):
    words = ["1", "60", "SIGKILL", *TRAIN, *TWO]  # after the first checkpoint
    code, _, err = killing.finish(start([*AGENT, "-m", "tests.faults.ranks", *words], tmp_path))
    assert code == 0, err
    assert "resumed  before step" in err
    assert killing.fingerprint(tmp_path) == killing.fingerprint(whole[2])


@pytest.mark.campaign
@pytest.mark.parametrize("signame", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_a_killed_run_that_goes_on_with_the_same_bits(whole, tmp_path, signame):
    process = start(cvexp(*TRAIN, *TWO), tmp_path)
    seen = process.stderr.readline()
    while not seen.startswith("epoch 1"):
        seen = process.stderr.readline()
    time.sleep(0.05)
    signum = getattr(signal, signame)
    process.send_signal(signum)
    began = time.monotonic()
    code, _, err = killing.finish(process)
    assert (code, time.monotonic() - began < 10) == (128 + signum, True)
    assert [line.split(":")[0] for line in err.splitlines() if not line.startswith(("epoch", "machine"))] == [
        f"error: interrupted by {signame}".split(":")[0],
        *[line.split(":")[0] for line in err.splitlines() if line.startswith("  ")],
    ]
    assert "  go on: cvexp train --resume " in err
    run, _ = killing.logged(tmp_path)
    assert run.info.status == "KILLED"
    code, _, err = killing.finish(start(cvexp("train", "--resume", "@last", "--keep", "1"), tmp_path))
    assert code == 0, err
    assert killing.fingerprint(tmp_path) == killing.fingerprint(whole[2])


@pytest.mark.campaign
@pytest.mark.parametrize("rank", [0, 1])
@pytest.mark.parametrize("nth", [3, 17, 29, 41, 55])
def test_kills_anywhere_lose_nothing_before_the_last_checkpoint(whole, tmp_path, rank, nth):
    words = [str(rank), str(nth), "SIGKILL", *TRAIN, *TWO]
    code, _, err = killing.finish(start([*AGENT, "-m", "tests.faults.ranks", *words], tmp_path))
    assert code == 0, err
    assert killing.fingerprint(tmp_path) == killing.fingerprint(whole[2])
