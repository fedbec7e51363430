"""What becomes of runs that have a folder here: delivered where they belong, listed, discarded, never mixed up."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cvexp.events import MetricsLogged, ParamsLogged
from cvexp.settings import store_settings
from cvexp.tracking.journal import JOURNAL, SENT, Journal
from cvexp.tracking.liveness import process_tags
from cvexp.tracking.outbox import open_run
from cvexp.tracking.queries import find
from cvexp.tracking.recovery import recover
from cvexp.tracking.store import open_store

AWAY = "http://127.0.0.1:9"
"""Nobody listens there."""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def waiting(uri=AWAY, experiment="prod"):
    """A finished run that its store was not told; its folder."""
    settings = store_settings(uri, experiment)
    with open_run(settings, model="linear", name=None, tags={"cvexp.version": "0"}) as run:
        run.emit(ParamsLogged({"model": "linear"}))
        run.emit(MetricsLogged(values={"train/loss": 0.5}, step=1))
        folder = run.folder
    assert run.journal.unsent
    return folder


def planted(folder, *records, **opening):
    """A journal as a stranger may have left it; the folder of the run."""
    run = folder / ".cvexp" / "runs" / "0123456789abcdef0123456789abcdef"
    run.mkdir(parents=True)
    first = {"model": "linear", "name": "planted", "tags": {"cvexp.version": "0"}, "local_id": run.name}
    first |= {"store": "sqlite:///mlflow.db", "experiment": "Default", **opening}
    lines = [("run", first), *records]
    with (run / JOURNAL).open("w") as stream:
        for n, (kind, body) in enumerate(lines):
            stream.write(json.dumps({"n": n, "at": 1000 + n, "kind": kind, "key": f"{kind} {n}", "body": body}) + "\n")
    return run


def runs_of(uri="sqlite:///mlflow.db"):
    client = MlflowClient(uri)
    return client.search_runs([e.experiment_id for e in client.search_experiments()])


@pytest.mark.slow
def test_a_run_is_delivered_to_no_other_store_than_its_own(here, cvexp):
    folder = waiting()
    before = (folder / JOURNAL).read_bytes()
    for words in (["sync"], ["compare"]):
        outcome = cvexp(*words)
        assert outcome.code in (2, 3)
        assert not (here / "mlflow.db").exists()
    outcome = cvexp("sync")
    assert outcome.code == 3
    assert f"cvexp sync --tracking-uri {AWAY}" in outcome.stderr
    assert (folder / JOURNAL).read_bytes() == before


@pytest.mark.slow
def test_what_waits_is_listed_delivered_elsewhere_on_request_and_into_its_experiment(here, cvexp):
    folder = waiting()
    (one,) = cvexp("sync", "--list", "--json").document["runs"]
    assert one["waiting"] == len(Journal(folder).records)
    assert (one["tracking_uri"], one["experiment"], one["status"]) == (AWAY, "prod", "FINISHED")
    listed = cvexp("sync", "--list")
    assert folder.name[:8] in listed.stdout
    outcome = cvexp("sync", "--to", f"sqlite:///{here}/other.db", "--json")
    assert outcome.code == 0, outcome.stderr
    client = MlflowClient(f"sqlite:///{here}/other.db")
    (run,) = client.search_runs([client.get_experiment_by_name("prod").experiment_id])
    assert run.info.status == "FINISHED"
    assert set(run.data.metrics) == {"train/loss", "tracking/delivered_at"}
    assert run.data.metrics["train/loss"] == 0.5
    assert not folder.exists()


def test_a_run_that_its_store_knows_in_part_can_be_delivered_whole_to_another(here, cvexp):
    run = planted(here, ("params", {"model": "linear"}), ("end", {"status": "FINISHED", "reason": ""}))
    (run / SENT).write_text(json.dumps({"n": 0, "facts": {"run_id": "f" * 32, "name": "planted"}}) + "\n")
    records = (run / JOURNAL).read_text().replace('"reason": ""', '"reason": "", "metrics": {}, "markdown": ""')
    (run / JOURNAL).write_text(records)
    assert cvexp("sync", "--to", f"sqlite:///{here}/other.db").code == 0
    (found,) = runs_of(f"sqlite:///{here}/other.db")
    assert (found.data.params, found.info.run_name) == ({"model": "linear"}, "planted")
    assert found.data.tags["cvexp.former_run_id"] == "f" * 32


@pytest.mark.slow
def test_a_run_is_discarded_by_name_or_id_and_only_that_one(here, cvexp):
    folder = waiting()
    assert cvexp("sync", "--discard", "nothing").code == 2
    outcome = cvexp("sync", "--discard", folder.name[:8])
    assert outcome.code == 0
    assert "records that were not delivered" in outcome.stdout
    assert not folder.exists()
    assert cvexp("sync").code == 0


def test_a_run_that_is_being_written_is_not_discarded(here, cvexp):
    settings = store_settings(f"sqlite:///{here}/mlflow.db")
    with open_run(settings, model="linear", name="busy", tags={"cvexp.version": "0"}) as run:
        outcome = cvexp("sync", "--discard", "busy")
        assert outcome.code == 2
        assert run.folder.exists()
        assert cvexp("sync", "--list", "--json").document["runs"][0]["status"] == "RUNNING"


@pytest.mark.parametrize("words", [["--list", "--to", "x"], ["--to", "sqlite:///a.db", "--discard", "b"]])
def test_what_excludes_each_other_is_refused(here, cvexp, words):
    assert cvexp("sync", *words).code == 2


def test_a_journal_that_names_no_store_is_delivered_on_request_only(here, cvexp):
    run = planted(here, store="", experiment="")
    outcome = cvexp("sync")
    assert outcome.code == 3
    assert "cvexp sync --to URI" in outcome.stderr
    assert cvexp("sync", "--to", "sqlite:///mlflow.db").code == 0
    assert len(runs_of()) == 1
    assert not run.exists()
    assert len(list(run.parent.iterdir())) == 1  # it never finished: its folder stays, under the id it got


def test_a_damaged_line_is_named_and_exits_with_3(here, cvexp):
    run = planted(here, ("params", {"a": "1"}), ("params", {"b": "2"}))
    lines = (run / JOURNAL).read_text().splitlines(keepends=True)
    (run / JOURNAL).write_text(lines[0] + "{broken\n" + lines[2])
    outcome = cvexp("sync")
    assert outcome.code == 3
    assert "journal.jsonl, line 2" in outcome.stderr
    assert "nothing waits" not in outcome.stdout
    assert len(outcome.stderr.splitlines()) <= 3


BAD = [
    '{"n": 0, "at": 1, "kind": "again", "key": "again 0", "body": {}}\n',
    '{"n": 0, "at": 1, "kind": "run", "key": "run", "body": {}}\n',
    '{"n": 0, "at": 1, "kind": "metrics", "key": "m", "body": {"values": 3}}\n',
    "[]\n",
]


@pytest.mark.parametrize("line", BAD)
@pytest.mark.slow
def test_a_bad_journal_affects_no_other_run(here, cvexp, line):
    assert cvexp("train", "linear", "--dataset", "digits", "--epochs", "1", "--device", "cpu").code == 0
    bad = here / ".cvexp" / "runs" / "bad"
    bad.mkdir(parents=True)
    (bad / JOURNAL).write_text(line)
    for words in (["evaluate", "@last", "--device", "cpu"], ["export", "@last"], ["compare"]):
        outcome = cvexp(*words)
        assert outcome.code == 0, outcome.stderr


def test_paths_of_a_journal_stay_in_the_folder_of_its_run(here, cvexp):
    secret = here / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("very secret")
    planted(here, ("artifacts", {"folder": "../../../secret", "name": None}))
    assert cvexp("sync").code == 3
    assert "very secret" not in "".join(p.read_text() for p in here.rglob("mlruns/**/*") if p.is_file())
    assert not list((here / "mlruns").rglob("key.txt"))


def test_nothing_is_taken_from_another_user_s_folder(here, cvexp, monkeypatch):
    planted(here, ("params", {"model": "linear"}))
    real = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: real + 1)
    outcome = cvexp("sync")
    assert outcome.code == 3
    assert "belongs to another user" in outcome.stderr
    assert not (here / "mlflow.db").exists()
    outcome = cvexp("train", "--resume", "planted")
    assert outcome.code == 2


def running(store, **more):
    """A run without a folder here that a process began which is gone, unless `more` of its tags say otherwise."""
    tags = {"cvexp.version": "0", **process_tags(), "cvexp.pid": str(os.getpid() + 10_000_000), **more}
    tags = {key: value for key, value in tags.items() if value}
    return store.client.create_run("0", tags=tags).info.run_id


@pytest.mark.parametrize(
    "more",
    [
        {"cvexp.boot_id": "", "cvexp.pid_namespace": ""},
        {"cvexp.boot_id": "other"},
        {"cvexp.pid_namespace": "pid:[1]"},
        {"cvexp.pid": str(os.getpid())},
    ],
    ids=["unsaid", "boot", "namespace", "alive"],
)
def test_a_run_whose_process_cannot_be_known_to_have_ended_stays_running(here, more):
    store = open_store(store_settings(f"sqlite:///{here}/mlflow.db"), create=True)
    run_id = running(store, **more)
    recover(store.settings)
    assert find(store, run_id).run.status == "RUNNING"
    assert store.client.get_run(run_id).info.status == "RUNNING"


def test_a_run_whose_process_is_gone_is_killed_by_the_recovery_and_not_by_a_query(here):
    store = open_store(store_settings(f"sqlite:///{here}/mlflow.db"), create=True)
    run_id = running(store)
    assert find(store, run_id).run.status == "KILLED"
    assert store.client.get_run(run_id).info.status == "RUNNING"
    for _ in range(2):
        recover(store_settings(store.settings.tracking_uri, "an experiment that does not exist"))
        stored = store.client.get_run(run_id)
        assert (stored.info.status, stored.data.tags["cvexp.end_reason"]) == ("KILLED", "the process is gone")


def test_a_run_that_the_version_before_left_behind_is_delivered_whole(here, cvexp):
    folder = here / ".cvexp" / "runs" / "d2bec0acb9f21d8b933ce92ec06bb04f"
    shutil.copytree(Path(__file__).with_name("run_of_0_1"), folder)
    journal = (folder / JOURNAL).read_text()
    (folder / JOURNAL).write_text(journal.replace('"store": "http://127.0.0.1:9"', '"store": "sqlite:///mlflow.db"'))
    assert cvexp("sync", "--json").document["delivered"].popitem()[1] == 14
    (run,) = runs_of(f"sqlite:///{here}/mlflow.db")
    assert (run.info.status, run.info.run_name) == ("FINISHED", "linear-d2bec0")
    assert run.data.params["lr"] == "0.1"
    client = MlflowClient(f"sqlite:///{here}/mlflow.db")
    (model,) = client.search_logged_models(["0"])
    assert {metric.key: metric.value for metric in model.metrics}["test/accuracy"] == 0.7777777777777778
    assert str(model.status) == "READY"
    points = client.get_metric_history(run.info.run_id, "train/loss")
    assert [(point.step, point.timestamp) for point in points] == [(1, 1795489693919), (2, 1795489703958)]
    assert cvexp("evaluate", "@last", "--device", "cpu", "--json").document["matches"] is True
    assert not folder.exists()


def test_an_old_folder_without_a_record_is_removed_and_a_new_one_is_not(here, cvexp):
    old, new = (here / ".cvexp" / "runs" / name for name in ("old", "new"))
    for folder in (old, new):
        folder.mkdir(parents=True)
        (folder / "request.json").write_text("{}")
    os.utime(old, (1, 1))
    cvexp("sync")
    assert (old.exists(), new.exists()) == (False, True)
