"""What the driver makes of a cluster's slots: those that answer, those that do not for a while, those that are lost."""

from __future__ import annotations

import pytest

from cvexp.errors import ConfigError, RunError, TrainingError
from cvexp.executors import lost, ray, ray_slot
from cvexp.executors.inline import open_inline
from cvexp.executors.seam import Ended, Epoch, Lost, Started
from cvexp.executors.slots import Slot
from cvexp.runs import RunSummary
from tests.executors.fake_ray import ActorDiedError, ActorUnavailableError, FakeRay
from tests.executors.made import attempt

WITHIN = 10.0


@pytest.fixture
def cluster(monkeypatch, tmp_path):
    fake = FakeRay()
    monkeypatch.setattr(ray, "ray_library", lambda: fake)
    monkeypatch.setattr(ray, "UNAVAILABLE_SECONDS", 0.01)
    monkeypatch.setattr(ray_slot, "open_executor", lambda _name, **options: open_inline(**options))
    monkeypatch.setattr(ray_slot, "deliver", lambda _stores, **_: 0)
    monkeypatch.setenv("CVEXP_STATE_DIR", str(tmp_path))
    monkeypatch.setattr("sys.modules", {**__import__("sys").modules, "__main__": ray_slot})
    return fake


@pytest.fixture
def executor(cluster):
    return ray.RayExecutor(2, run="tests.executors.made:run", slot=Slot(cpus=3), at_once=2)


def _ends(found):
    return {event.trial: getattr(event, "status", "lost") for event in found if isinstance(event, (Ended, Lost))}


def test_attempts_go_to_slots_and_know_their_threads_and_their_driver(cluster, executor):
    for trial in "abc":
        executor.submit(attempt(trial))
    given = {one.trial: one for one in executor._queue}
    assert _ends(executor.events(WITHIN)) == dict.fromkeys("abc", "FINISHED")
    assert {(one.threads, one.n_slots, one.tags["cvexp.executor"]) for one in given.values()} == {(3, 2, "ray")}
    executor.close()
    assert not cluster.is_up


def test_a_slot_that_cannot_be_reached_for_a_while_loses_nothing(cluster, executor):
    executor.submit(attempt("a", epochs=20))
    found = []
    for event in executor.events(WITHIN):
        found.append(event)
        if isinstance(event, Epoch) and event.epoch == 2:
            cluster.trouble = {0: ActorUnavailableError("no route"), 1: ActorUnavailableError("no route")}
            found.extend(executor.events(0.1))
            assert len(found) < 6
            cluster.trouble = {}
    assert [event.epoch for event in found if isinstance(event, Epoch)] == [*range(1, 21)]
    assert _ends(found) == {"a": "FINISHED"}


def test_a_slot_that_died_is_opened_again_and_its_attempt_is_lost(cluster, executor):
    executor.submit(attempt("a", epochs=10**6))
    found = []
    for event in executor.events(WITHIN):
        found.append(event)
        if isinstance(event, Started):
            cluster.trouble = {n: ActorDiedError("The node died.\nmore") for n in (0, 1)}
        if isinstance(event, Lost):
            executor.submit(attempt("a", number=2))
    assert [event.reason.partition(": ")[2] for event in found if isinstance(event, Lost)] == ["The node died"]
    assert (found[-1].number, found[-1].status) == (2, "FINISHED")


@pytest.mark.parametrize(("status", "end"), [("FINISHED", Ended), ("KILLED", Lost)])
def test_a_run_that_had_finished_when_its_slot_died_counts(monkeypatch, status, end):
    run = RunSummary(
        run_id="1" * 32,
        name="r",
        status=status,
        experiment_id="",
        artifacts_uri="",
        started_at=None,
        metrics={"x": 1.0},
    )
    monkeypatch.setattr(lost, "give_up", lambda *_: run)
    runs = lost.Runs()
    runs.settle(Started(trial="a", number=1, run_id="1" * 32, run_name="r"), attempt("a"))
    settled = runs.settle(Lost(trial="a", number=1, reason="gone"), attempt("a"))
    assert isinstance(settled, end)
    assert getattr(settled, "metrics", None) == ({"x": 1.0} if end is Ended else None)


def test_a_run_that_cannot_be_given_up_now_is_given_up_at_the_end(monkeypatch):
    asked = []

    def give_up(_settings, run_id, reason):
        asked.append((run_id, reason))
        raise RunError("no answer")

    monkeypatch.setattr(lost, "give_up", give_up)
    runs = lost.Runs()
    runs.settle(Started(trial="a", number=1, run_id="id", run_name="r"), attempt("a"))
    assert isinstance(runs.settle(Lost(trial="a", number=1, reason="gone"), attempt("a")), Lost)
    runs.give_up_waiting()
    assert asked == [("id", "gone")] * 2


def test_a_slot_that_never_opens_ends_the_command(cluster, executor):
    cluster.trouble = {n: ActorDiedError("it died:\nModuleNotFoundError: cvexp") for n in range(50)}
    executor.submit(attempt("a"))
    with pytest.raises(TrainingError, match="no slot can be opened: ModuleNotFoundError: cvexp"):
        list(executor.events(WITHIN))


def test_a_second_stop_ends_an_attempt_on_a_node_that_is_silent(cluster, executor, monkeypatch):
    monkeypatch.setattr(ray, "END_SECONDS", 0.05)
    executor.submit(attempt("a", epochs=10**6))
    found = []
    for event in executor.events(WITHIN):
        found.append(event)
        if isinstance(event, Started):
            cluster.silent = {0, 1}
            executor.stop("a")
            executor.stop("a")
    assert _ends(found) == {"a": "lost"}
    assert found[-1].reason.endswith("it does not answer")


def test_a_stop_reaches_the_slot_and_the_queue(executor):
    for trial in "abc":
        executor.submit(attempt(trial, epochs=10**6))
    executor.stop("c")
    found = []
    for event in executor.events(WITHIN):
        found.append(event)
        if isinstance(event, Epoch) and event.epoch == 1:
            executor.stop(event.trial, early=event.trial == "a")
    assert _ends(found) == {"a": "FINISHED", "b": "KILLED", "c": "KILLED"}


def test_a_database_file_is_refused_where_other_machines_take_part(cluster, executor, tmp_path):
    local = ray.replace(attempt("a"), store={"tracking_uri": f"sqlite:///{tmp_path}/mlflow.db", "experiment": "e"})
    executor._check_store(local.store)
    cluster.hosts.append("node-2")
    with pytest.raises(ConfigError, match="and the cluster has others: node-2"):
        executor.submit(local)


def test_nodes_with_another_version_are_refused(cluster, executor, monkeypatch):
    monkeypatch.setattr(ray_slot, "VERSION", "0.0.1")
    executor.submit(attempt("a"))
    with pytest.raises(ConfigError, match=r"has version 0\.0\.1 of cvexp"):
        list(executor.events(WITHIN))
