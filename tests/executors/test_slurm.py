"""Jobs through submitit: what is asked of SLURM, and attempts as jobs of this machine."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import psutil
import pytest

from cvexp.errors import ConfigError
from cvexp.executors import slurm, slurm_job
from cvexp.executors.registry import open_executor
from cvexp.executors.seam import Ended, Epoch, Lost, Started, to_plain
from tests.executors.made import attempt

submitit = pytest.importorskip("submitit", reason="the extra cvexp[slurm] is not installed")
RUN = "tests.executors.made:run"
SBATCH = """#!/bin/sh
cp "$1" "$(dirname "$0")/submitted.sh"
echo Submitted batch job 7
"""


@pytest.fixture
def queue(tmp_path, monkeypatch):
    """A folder with programs that are called as SLURM's are; only `sbatch` is ever called."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("srun", "sbatch"):
        (programs / name).write_text(SBATCH)
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CVEXP_STATE_DIR", str(tmp_path / "state"))
    return programs


def test_what_a_slot_has_is_asked_of_slurm_and_no_job_is_started_again(queue):
    typed = {"cpus": "3", "gpus": "1", "partition": "night", "account": "vision", "time": "90", "mem_gb": "16"}
    executor = open_executor("slurm", n_slots=1, run=RUN, slot=typed)
    for trial in "ab":
        executor.submit(attempt(trial))
    asked = [line for line in (queue / "submitted.sh").read_text().splitlines() if line.startswith("#SBATCH")]
    expected = ["cpus-per-task=3", "gpus-per-node=1", "partition=night", "account=vision", "time=90", "mem=16GB"]
    assert {f"#SBATCH --{one}" for one in (*expected, "no-requeue", "job-name=cvexp", "signal=USR2@90")} <= {*asked}
    assert (executor._jobs[0].attempt.threads, executor._jobs[0].attempt.device) == (3, "cuda")
    executor.stop("b")
    assert [(event.trial, event.status) for event in executor.events(0)] == [("b", "KILLED")]


def test_a_database_file_is_refused_where_jobs_run_on_other_machines(queue, tmp_path):
    executor = open_executor("slurm", n_slots=1, run=RUN)
    local = slurm.replace(attempt("a"), store={"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db", "experiment": "e"})
    with pytest.raises(ConfigError, match="jobs on other machines would damage it"):
        executor.submit(local)


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"n_slots": 1, "slot": {"tim": "5"}}, "did you mean 'time'"),
        ({"n_slots": 1, "address": "local", "slot": {"time": "soon"}}, "--slot time='soon': not a whole number"),
        ({"n_slots": 1, "address": "host:1"}, "SLURM has none"),
        ({"n_slots": None}, "for example: --workers 8"),
        ({"n_slots": 1}, "there is no SLURM here"),
    ],
)
def test_what_cannot_be_is_refused(monkeypatch, options, what):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ConfigError) as error:
        open_executor("slurm", **options)
    assert what in " ".join(error.value.lines())


def test_a_job_that_the_queue_starts_again_does_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm_job.process, "take", lambda: None)
    before = {name: signal.getsignal(name) for name in (signal.SIGUSR1, signal.SIGUSR2)}
    try:
        for _ in range(2):
            slurm_job.work(str(tmp_path), to_plain(attempt("a", epochs=1)), RUN)
    finally:
        for name, handler in before.items():
            signal.signal(name, handler)
    assert len((tmp_path / slurm_job.EVENTS).read_text().splitlines()) == 3


def test_a_driver_that_is_silent_stops_its_jobs_as_its_order_does(tmp_path, monkeypatch):
    signals = []
    monkeypatch.setattr(slurm_job, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(slurm_job, "GONE_SECONDS", 0.1)
    monkeypatch.setattr(os, "kill", lambda pid, number: signals.append((pid, number)))
    (tmp_path / slurm_job.ALIVE).touch()
    for name, order in [("silent", None), ("ordered", "now")]:
        folder = tmp_path / name
        folder.mkdir()
        channel = slurm_job.FileChannel(folder)
        if order:
            (folder / slurm_job.ORDER).write_text(order)
        started = time.monotonic()
        channel._watch()
        waited = time.monotonic() - started
        assert (channel.asked(), waited >= 0.1) == ("now", order is None)
    assert signals == [(os.getpid(), signal.SIGTERM)] * 2


@pytest.mark.slow
def test_attempts_are_jobs_of_this_machine_where_there_is_no_slurm(tmp_path, monkeypatch):
    """One is killed, one is stopped, one in the queue never begins, one finishes."""
    monkeypatch.setenv("CVEXP_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    executor = open_executor("slurm", n_slots=2, run=RUN, address="local")
    for trial, epochs in {"killed": 10**6, "stopped": 10**6, "finished": 2, "queued": 2}.items():
        executor.submit(attempt(trial, epochs=epochs))
    found = []
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and sum(isinstance(event, (Ended, Lost)) for event in found) < 4:
        for event in executor.events(1.0):
            if isinstance(event, Started) and event.trial == "killed":
                psutil.Process(int(event.run_name)).kill()
                executor.stop("queued")
            elif isinstance(event, Epoch) and event.trial == "stopped" and event.epoch == 1:
                executor.stop("stopped")
            found.append(event)
    ends = {event.trial: event for event in found if isinstance(event, (Ended, Lost))}
    assert {trial: getattr(event, "status", "lost") for trial, event in ends.items()} == {
        "killed": "lost",
        "stopped": "KILLED",
        "finished": "FINISHED",
        "queued": "KILLED",
    }
    log = Path(ends["killed"].reason.rpartition("its log: ")[2])
    executor.close()
    assert log.exists()
