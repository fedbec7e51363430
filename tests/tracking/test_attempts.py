"""Of several attempts at a trial one run counts, whoever delivers last."""

from __future__ import annotations

import json

import pytest
from mlflow import MlflowClient

from cvexp import events
from cvexp.settings import store_settings
from cvexp.tracking import attempts
from cvexp.tracking.liveness import HOST, PID, STARTED, is_gone, process_tags
from cvexp.tracking.outbox import open_run
from cvexp.tracking.queries import find, search
from cvexp.tracking.store import open_store

ELSEWHERE = {**process_tags(), HOST: "another machine", "cvexp.version": "0.1.0"}
TRIAL = {attempts.TRIAL: "a recipe and a seed", **attempts.remote_tags("ray")}


@pytest.fixture
def settings(record):
    return store_settings(record.uri)


def _status(settings, run_id):
    return MlflowClient(settings.tracking_uri).get_run(run_id).info.status


def test_a_run_of_another_machine_is_gone_once_its_driver_gives_it_up_and_not_before(settings):
    with open_run(settings, model="linear", name="lost", tags=ELSEWHERE | TRIAL) as run:
        assert find(open_store(settings, create=False), "lost").run.status == "RUNNING"
        assert attempts.give_up(settings, run.run_id, "node 2 is lost").status == "KILLED"
        stored = MlflowClient(settings.tracking_uri).get_run(run.run_id)
        assert (stored.info.status, stored.data.tags["cvexp.end_reason"]) == ("KILLED", "node 2 is lost")
        assert is_gone(stored.data.tags)
        assert not is_gone({**stored.data.tags, PID: "1", STARTED: "1.00"})  # a process that resumed it


def test_a_run_that_was_given_up_never_becomes_finished_whatever_its_process_delivers(settings):
    with open_run(settings, model="linear", name=None, tags=ELSEWHERE | TRIAL) as run:
        attempts.give_up(settings, run.run_id, "node 2 is lost")
        run.emit(events.MetricsLogged(values={"val/loss": 0.5}, step=1))
    stored = MlflowClient(settings.tracking_uri).get_run(run.run_id)
    assert (stored.info.status, stored.data.metrics["val/loss"]) == ("KILLED", 0.5)
    assert stored.data.tags["cvexp.end_reason"] == attempts.SUPERSEDED


def test_a_driver_that_takes_over_knows_the_last_interrupted_run_of_each_trial(settings, record):
    record("finished", tags={attempts.TRIAL: "a"})
    record("first", status="KILLED", tags={attempts.TRIAL: "b"})
    last = record("last", status="KILLED", tags={attempts.TRIAL: "b"})
    record("no attempt", status="KILLED")
    record("failed", status="FAILED", tags={attempts.TRIAL: "c"})
    assert attempts.interrupted_attempts(settings) == {"b": last}


def test_a_driver_that_gives_up_while_the_run_ends_wins(settings, monkeypatch):
    end = MlflowClient.set_terminated

    def given_up_first(client, run_id, status, **options):
        if status == "FINISHED":
            monkeypatch.setattr(MlflowClient, "set_terminated", end)
            attempts.give_up(settings, run_id, "node 2 is lost")
        end(client, run_id, status, **options)

    with open_run(settings, model="linear", name=None, tags=ELSEWHERE | TRIAL) as run:
        monkeypatch.setattr(MlflowClient, "set_terminated", given_up_first)
    assert _status(settings, run.run_id) == "KILLED"


def test_what_finished_before_it_was_given_up_counts(settings):
    with open_run(settings, model="linear", name=None, tags=ELSEWHERE | TRIAL) as run:
        pass
    assert attempts.give_up(settings, run.run_id, "node 2 is lost").status == "FINISHED"
    assert _status(settings, run.run_id) == "FINISHED"


def test_a_run_the_driver_never_heard_of_is_superseded_by_a_later_attempt(settings, record):
    other = {**ELSEWHERE, **TRIAL, attempts.TRIAL: "another"}
    with (
        open_run(settings, model="linear", name=None, tags=other) as alone,
        open_run(settings, model="linear", name=None, tags=ELSEWHERE | TRIAL) as orphan,
    ):
        record._now = int(4e12)
        record("later", status="RUNNING", tags=TRIAL)
    assert (_status(settings, alone.run_id), _status(settings, orphan.run_id)) == ("FINISHED", "KILLED")


def test_a_new_driver_closes_the_runs_of_a_driver_that_has_ended_and_no_others(settings, record):
    dead = json.dumps({**process_tags(), PID: str(2**22 + 1)})
    remote = json.dumps({**process_tags(), PID: str(2**22 + 1), HOST: "another machine"})
    record("orphan", status="RUNNING", tags=ELSEWHERE | {attempts.DRIVER: dead})
    for n, tags in enumerate([TRIAL, {attempts.DRIVER: remote}, {attempts.DRIVER: "[]"}, {attempts.DRIVER: "x"}, {}]):
        record(f"other {n}", status="RUNNING", tags=ELSEWHERE | tags)
    assert len(attempts.close_orphans(settings)) == 1
    found = {run.name: run.status for run in search(open_store(settings, create=False))}
    assert found == {"orphan": "KILLED", **{f"other {n}": "RUNNING" for n in range(5)}}
