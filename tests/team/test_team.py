"""cvexp on a team's server: PostgreSQL, accounts, artifacts through the server.

All of it takes minutes: `uv run pytest -n0 -m campaign tests/team`.
"""

from __future__ import annotations

import json
import signal

import pytest
from mlflow import MlflowClient

from tests.faults import killing, test_records
from tests.faults.answering import check_refusal
from tests.faults.test_outages import wait_for_epoch
from tests.team.cluster import signed_in

pytestmark = pytest.mark.campaign

TRAIN = ("train", "linear", "--dataset", "digits", "--epochs", "2", "--device", "cpu")
LONG = ("train", "tinyvgg", "--dataset", "mnist-5k", "--epochs", "8", "--device", "cpu", "--threads", "1", "--json")
PLAN = "experiment: plan\ndefaults: {dataset: digits, epochs: 1, device: cpu}\nruns: [{model: linear}, {model: mlp}]\n"


@pytest.fixture
def typed(team, tmp_path, cvexp, monkeypatch):
    """Run a command in this process as somebody, in a folder of their own; gives exit code, stdout and stderr."""

    def run(name, *words, password=None):
        here = tmp_path / (name or "nobody")
        here.mkdir(exist_ok=True)
        monkeypatch.chdir(here)
        for key, value in signed_in(team.uri, name, password).items():
            monkeypatch.setenv(key, value) if value else monkeypatch.delenv(key, raising=False)
        outcome = cvexp(*words)
        if outcome.code == 3:  # a busy machine: the server did not take everything within the deadline
            assert cvexp("sync").code == 0
            return 0, outcome.stdout, outcome.stderr
        return outcome.code, outcome.stdout, outcome.stderr

    return run


def done(outcome):
    code, out, err = outcome
    assert code == 0, err
    return json.loads(out) if out.startswith("{") else out


def client_of(team, monkeypatch, name="owner"):
    for key, value in signed_in(team.uri, name).items():
        monkeypatch.setenv(key, value)
    return MlflowClient(team.uri)


def test_every_verb_works_on_the_server(typed, tmp_path):
    def ok(*words):
        return done(typed("owner", *words))

    ok("data", "digits")
    run_id = ok(*TRAIN, "--experiment", "verbs", "--json")["run_id"]
    ok(*TRAIN, "--experiment", "verbs", "--seeds", "3", "--json")
    (tmp_path / "owner" / "plan.yaml").write_text(PLAN)
    assert ok("run", "plan.yaml", "--json")["trained"] == 2
    assert ok("run", "plan.yaml", "--json")["trained"] == 0
    assert ok("evaluate", run_id, "--json")["matches"] is True
    ok("confmat", run_id, "--json")
    ok("export", run_id, "--format", "onnx", "--json")
    ok("bench", run_id, "--json")
    ok("compare", "--experiment", "verbs", "--plot", "compare.png", "--json")
    ok("reproduce", run_id, "--json")
    ok("register", run_id, "--name", "verbs", "--alias", "champion", "--json")
    assert ok("evaluate", "models:/verbs@champion", "--json")["run_id"] == run_id
    assert ok("sync", "--json")["delivered"] == {}
    assert "/#/experiments/" in ok("ui")


def test_each_role_sees_and_does_what_it_may(typed, team, monkeypatch):
    run = done(typed("trainer", *TRAIN, "--experiment", "roles", "--json"))["run_id"]
    done(typed("trainer", "register", run, "--name", "roles", "--json"))
    compare = ("compare", "--experiment", "roles", "--json")
    may = {
        "stranger": (),
        "reader": ("see",),
        "trainer": ("see", "train", "draw"),
        "registrar": ("see", "train", "draw", "register"),
        "owner": ("see", "train", "draw", "register"),
    }
    asked = {
        "see": [
            compare,
            ("evaluate", run),
            ("export", run, "--format", "safetensors"),
            ("evaluate", "models:/roles/1"),
        ],
        "train": [(*TRAIN, "--experiment", "roles", "--seed", "9")],
        "draw": [("confmat", run)],
        "register": [("register", "@last", "--name", "roles", "--alias", f"of-{run[:6]}", "--experiment", "roles")],
    }
    for name, permitted in may.items():
        for kind, commands in asked.items():
            if kind == "register" and name == "trainer":
                continue  # a name's own creator may: see below
            for words in commands:
                outcome = typed(name, *words)
                if kind in permitted:
                    done(outcome)
                else:
                    assert "403" in outcome[2] or "no run" in outcome[2], (name, words, outcome)
                    check_refusal(*outcome)
    client = client_of(team, monkeypatch, "registrar")
    with pytest.raises(Exception, match="403"):
        client.delete_run(run)
    client_of(team, monkeypatch, "owner").delete_run(run)


def test_whoever_makes_an_experiment_or_a_name_owns_it(typed, team, monkeypatch):
    run = done(typed("stranger", *TRAIN, "--experiment", "my own", "--json"))["run_id"]
    done(typed("stranger", "register", run, "--name", "my-own", "--experiment", "my own", "--json"))
    client_of(team, monkeypatch, "stranger").delete_run(run)
    refused = typed("trainer", *TRAIN, "--experiment", "my own")
    assert refused[0] == 0  # the grants of roles are on every experiment


@pytest.mark.parametrize(
    ("name", "password", "named"),
    [
        ("trainer", "not the password", "does not know 'trainer' with this password"),
        ("nobody at all", "not the password", "does not know 'nobody at all' with this password"),
        ("stranger", None, "does not permit this to 'stranger'"),
        ("", "", "asks for a name and a password"),
    ],
)
def test_who_may_not_is_told_so_before_training_and_nothing_is_left(name, password, named, typed, tmp_path):
    for words in (TRAIN, ("compare",), ("evaluate", "@last")):
        check_refusal(*typed(name, *words, password=password), named)
    assert list(tmp_path.glob("*/.cvexp/runs/*")) == []


def test_eight_clients_at_once_on_a_new_experiment_lose_and_double_nothing(team, tmp_path, monkeypatch):
    for key, value in signed_in(team.uri, "trainer").items():
        monkeypatch.setenv(key, value)
    test_records.finish(test_records.write(team.uri, tmp_path, name="eight clients"))
    code, _, err = killing.run(["sync"], tmp_path)  # what a busy machine left over
    assert code == 0, err
    assert test_records.lost_and_doubled(team.uri, experiment="eight clients") == (0, 0)


@pytest.mark.parametrize("what", ["server", "database"])
def test_a_restart_in_the_middle_of_a_training_loses_nothing(what, typed, team, tmp_path, monkeypatch):
    folder = tmp_path / "trainer"
    folder.mkdir()
    environment = signed_in(team.uri, "trainer")
    process = killing.start([*LONG, "--experiment", f"restart of the {what}"], folder, env=environment)
    wait_for_epoch(folder, 2)
    if what == "server":
        team.stop(signal.SIGKILL)
        wait_for_epoch(folder, 4)
        team.start()
    else:
        team.postgres.stop("immediate")
        wait_for_epoch(folder, 4)
        team.postgres.start()
    code, out, err = killing.finish(process)
    if code == 3:
        assert len(err.partition("error:")[2].splitlines()) <= 3
        done(typed("trainer", "sync", "--json"))
    else:
        assert code == 0, err
    check_points(client_of(team, monkeypatch), json.loads(out)["run_id"], 8)


def test_records_wait_while_the_server_is_down_and_are_delivered_by_sync(typed, team, tmp_path, monkeypatch):
    folder = tmp_path / "trainer"
    folder.mkdir()
    process = killing.start([*LONG, "--experiment", "down"], folder, env=signed_in(team.uri, "trainer"))
    wait_for_epoch(folder, 2)
    team.stop(signal.SIGKILL)
    code, out, err = killing.finish(process)
    team.start()
    assert code == 3, err
    assert len(err.partition("error:")[2].splitlines()) <= 3
    assert "cvexp sync" in err
    done(typed("trainer", "sync", "--json"))
    check_points(client_of(team, monkeypatch), json.loads(out)["run_id"], 8)


def test_a_permission_that_is_taken_back_while_training_leaves_the_records_waiting(typed, team, tmp_path, monkeypatch):
    client_of(team, monkeypatch, "admin")
    monkeypatch.setenv("NEW_PASSWORD", "the password of leaver")
    team.account("leaver", "trainer")
    client_of(team, monkeypatch).create_experiment("taken back")  # whoever makes one owns it, whatever the role
    client_of(team, monkeypatch, "admin")
    folder = tmp_path / "leaver"
    folder.mkdir()
    process = killing.start([*LONG, "--experiment", "taken back"], folder, env=signed_in(team.uri, "leaver"))
    wait_for_epoch(folder, 2)
    team.account("leaver", "reader")
    code, out, err = killing.finish(process)
    assert code == 3, err
    assert "403" in err
    assert len(err.partition("error:")[2].splitlines()) <= 3
    team.account("leaver", "trainer")
    done(typed("leaver", "sync", "--json"))
    check_points(client_of(team, monkeypatch), json.loads(out)["run_id"], 8)


def check_points(client, run_id, n_epochs):
    """Every figure of every epoch is there, once, and the run is finished."""
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    for key in ("train/loss", "train/accuracy", "test/loss", "test/accuracy"):
        steps = sorted(point.step for point in client.get_metric_history(run_id, key))
        assert steps == list(range(1, n_epochs + 1)), key
    assert {"weights", "curves.png"} <= {file.path for file in client.list_artifacts(run_id)}
