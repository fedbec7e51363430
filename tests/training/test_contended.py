"""Trainings that waited for cores, with readings made up here: what is logged, printed and said."""

from __future__ import annotations

import itertools
import json
import signal

import pytest
from mlflow import MlflowClient

from cvexp import contention
from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.contention import CpuTimes
from cvexp.errors import Interrupted
from cvexp.events import EpochEnded, TrainingStarted
from cvexp.jobs import resume, train
from cvexp.machine import MachineState, Occupancy
from cvexp.settings import store_settings
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store
from cvexp.training import session

pytestmark = pytest.mark.slow

WORDS = ("train", "linear", "--dataset", "digits", "--epochs", "2", "--device", "cpu")


@pytest.fixture
def waits(monkeypatch):
    """Let every stretch of training steps have waited so many seconds, and have taken a second of CPU time."""

    def set_(seconds):
        n = itertools.count()
        reading = lambda: CpuTimes(wall=(i := next(n)), cpu=i, waited=seconds * i)  # noqa: E731 - a clock in one line
        monkeypatch.setattr(contention, "read_cpu_times", reading)
        monkeypatch.setattr(session, "read_machine_state", lambda: MachineState(load=3.14, pressure=45.2))

    return set_


@pytest.fixture
def beside(monkeypatch):
    """Let other programs use so many of two CPUs, both of which torch would take."""

    def set_(taken):
        monkeypatch.setattr("cvexp.device.default_threads", lambda: 2)
        monkeypatch.setattr(session, "occupancy_since", lambda _before: Occupancy(taken=taken, n_cpus=2))

    return set_


def machine_lines(outcome):
    return [line for line in outcome.stderr.splitlines() if line.startswith("machine")]


def test_a_quiet_run_says_nothing_and_has_no_tag(cvexp, record, waits):
    waits(0.0)
    outcome = cvexp(*WORDS, "--json")
    assert machine_lines(outcome) == []
    assert len(outcome.stderr.splitlines()) == 6
    assert outcome.document["busy"] is None
    assert outcome.document["metrics"]["time/waited_share"] == 0.0
    (run,) = search(open_store(store_settings(record.uri), create=False))
    assert run.busy == ""
    assert "cvexp.busy" not in run.tags


def test_a_run_that_waited_says_so_once_and_is_tagged(cvexp, record, waits):
    waits(1000.0)
    outcome = cvexp(*WORDS, "--json")
    (line,) = machine_lines(outcome)
    assert line == (
        "machine  busy: training waited 100% of its time for a core so far; above 5% times are not ranked: train alone"
    )
    assert outcome.document["metrics"]["time/waited_share"] == 1.0
    text = outcome.document["busy"]
    assert text.startswith("waited 100% of the training time for a core, ")
    assert text.endswith(" on 1 thread; at the start: load 3.1, CPU pressure 45%")
    (run,) = search(open_store(store_settings(record.uri), create=False))
    assert run.busy == text
    assert run.metrics["time/waited_share"] == 1.0
    assert text in run.tags["mlflow.note.content"]


@pytest.mark.slow
def test_the_summary_says_that_times_are_not_to_be_ranked(cvexp, record, waits):
    waits(1000.0)
    outcome = cvexp(*WORDS, "--threads", "2")
    assert "waited for a core" in outcome.stdout
    assert "100%, not to be ranked" in outcome.stdout
    assert machine_lines(outcome)[0].endswith("train alone, or with --threads 1")


class StopsAfter:
    """Asks for a stop after the first epoch."""

    def __call__(self, event):
        if isinstance(event, EpochEnded):
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.slow
def test_what_an_interrupted_run_waited_counts_when_it_is_resumed(record, waits, tmp_path):
    settings = store_settings(record.uri)
    place = {"data_dir": tmp_path, "command": ["cvexp"], "policy": CheckpointPolicy(keep=1)}
    waits(1000.0)
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 2})
    with pytest.raises(Interrupted):
        train.run(config, settings, observer=StopsAfter(), **place)
    (run,) = MlflowClient(record.uri).search_runs(["0"])
    waits(0.0)
    result = resume.run(run.info.run_id, settings, **place)
    assert [epoch.timing.waited_seconds for epoch in result.history] == [1000.0, 0.0]
    assert result.figures["time/waited_share"] == 1.0
    assert result.busy


@pytest.mark.slow
def test_a_checkpoint_within_an_epoch_holds_what_was_waited_until_then(record, waits, tmp_path, monkeypatch):
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 1e-6)  # one step a call
    waits(1.0)
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 1})
    policy = CheckpointPolicy(every=0, minutes=1e-6)
    result = train.run(config, store_settings(record.uri), data_dir=tmp_path, command=["cvexp"], policy=policy)
    (epoch,) = result.history
    # Made-up readings are a second apart: two for the epoch, and two more for each checkpoint.
    assert epoch.timing.waited_seconds > 10
    assert epoch.timing.waited_seconds == epoch.timing.cpu_seconds


def test_a_start_on_a_busy_machine_takes_fewer_threads_and_says_so(cvexp, record, waits, beside):
    waits(0.0)
    beside(1.9)
    seen = cvexp("train", "tinyvgg", *WORDS[2:], "--limit", "300")
    assert machine_lines(seen) == [
        "machine  busy: other programs use 1.9 of 2 CPUs, so at most 1 of 2 threads are used; --threads N is obeyed"
    ]
    (run,) = search(open_store(store_settings(record.uri), create=False))
    assert run.tags["cvexp.threads"] == "1"
    assert run.tags["cvexp.fewer_threads"] == "other programs use 1.9 of 2 CPUs, so at most 1 of 2 threads are used"
    assert run.conditions["threads"] == "by model size, at most 1 of 2 on a busy machine"


@pytest.mark.slow
@pytest.mark.parametrize("case", [(0.2, (), "by model size, at most 2"), (1.9, ("--threads", "2"), "2")])
def test_a_quiet_machine_and_threads_that_were_asked_for_change_nothing(cvexp, record, waits, beside, case):
    taken, words, policy = case
    waits(0.0)
    beside(taken)
    assert machine_lines(cvexp(*WORDS, *words)) == []
    (run,) = search(open_store(store_settings(record.uri), create=False))
    assert json.loads(run.tags["cvexp.conditions"])["threads"] == policy
    assert "cvexp.fewer_threads" not in run.tags


@pytest.mark.slow
def test_a_resumed_run_keeps_the_threads_it_began_with(record, waits, beside, tmp_path):
    settings = store_settings(record.uri)
    place = {"data_dir": tmp_path, "command": ["cvexp"], "policy": CheckpointPolicy(keep=1)}
    config = run_config({"model": "tinyvgg", "dataset": "digits", "limit": 300, "device": "cpu", "epochs": 2})
    waits(0.0)
    beside(1.9)
    with pytest.raises(Interrupted):
        train.run(config, settings, observer=StopsAfter(), **place)
    (run,) = MlflowClient(record.uri).search_runs(["0"])
    beside(0.0)
    started = []
    resume.run(run.info.run_id, settings, observer=started.append, **place)
    (event,) = [one for one in started if isinstance(one, TrainingStarted)]
    assert (event.threads, event.fewer_threads) == (1, "")
    (run,) = search(open_store(settings, create=False))
    assert run.conditions["threads"] == "by model size, at most 1 of 2 on a busy machine"
