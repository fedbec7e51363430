"""Runs that are interrupted and resumed, in process: what may be given again, what is kept, and what is refused."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading

import pytest
from mlflow import MlflowClient

from cvexp import checkpoint
from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.errors import ConfigError, Interrupted, RunError, WeightsError
from cvexp.events import EpochEnded, TrainingStarted
from cvexp.inference import evaluate
from cvexp.jobs import resume, train
from cvexp.settings import store_settings
from cvexp.tracking.journal import Journal
from cvexp.training.checkpoints import Checkpoints

FACTORY = """
from torch import nn

def plain(image_shape, n_classes, *, hidden_units=10):
    return nn.Sequential(nn.Flatten(), nn.Linear(image_shape[1] * image_shape[2], n_classes))
"""


class StopsAfter:
    """Sends this process a signal at the end of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def __call__(self, event):
        if isinstance(event, EpochEnded) and event.metrics.epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGTERM)


def stops_at_once(event):
    """Sends it before the first step."""
    if isinstance(event, TrainingStarted):
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder of its own, and how training is called there."""
    monkeypatch.chdir(tmp_path)
    return store_settings(f"sqlite:///{tmp_path}/mlflow.db"), {"data_dir": tmp_path / "data", "command": ["cvexp"]}


def config(**settings):
    return run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 3, **settings})


def interrupted(place, observer=None, policy=None, **settings):
    with pytest.raises(Interrupted) as caught:
        train.run(config(**settings), place[0], observer=observer or StopsAfter(1), policy=policy, **place[1])
    return caught.value


def resumed(place, **given):
    return resume.run("@last", place[0], **place[1], **given)


def checkpoints(settings):
    return sorted(settings.state_dir.glob("runs/*/checkpoints/*.pt"))


@pytest.mark.slow
def test_the_disk_has_the_journal_before_a_checkpoint_that_counts_on_it(place, monkeypatch):
    events = []

    def noted(owner, name):
        original = getattr(owner, name)

        def wrapped(*arguments):
            if threading.current_thread().name.startswith("cvexp-checkpoint"):
                events.append(name)
            return original(*arguments)

        monkeypatch.setattr(owner, name, wrapped)

    noted(Journal, "flush")
    noted(checkpoint, "save_named")
    train.run(config(), place[0], **place[1])
    assert events == ["flush", "save_named"] * 3


@pytest.mark.slow
def test_half_a_file_that_a_killed_process_left_is_removed_and_not_stored(place):
    interrupted(place, policy=CheckpointPolicy(keep=1))
    (folder,) = place[0].state_dir.glob("runs/*")
    (folder / "weights").mkdir()
    halves = [
        folder / "weights" / f".model.json.{'0123456789abcdef'}",
        folder / "checkpoints" / f".epoch-00002-step-00000000-{'0' * 64}.pt.{'f' * 16}",
    ]
    for half in halves:
        half.write_bytes(b"{")
    result = resumed(place, policy=CheckpointPolicy(keep=1))
    assert not any(half.exists() for half in halves)
    stored = MlflowClient(place[0].tracking_uri).list_artifacts(result.run_id, "weights")
    assert sorted(one.path for one in stored) == ["weights/model.json", "weights/state_dict.pt"]


@pytest.mark.slow
def test_the_history_covers_all_epochs_and_the_run_is_the_same(place):
    error = interrupted(place)
    assert error.signum == signal.SIGTERM
    result = resumed(place)
    assert [epoch.epoch for epoch in result.history] == [1, 2, 3]
    settings, _ = place
    resume = ["go on: cvexp", "train", "--resume", result.run_id[:12], "--tracking-uri", settings.tracking_uri]
    assert " ".join(resume) in error.hints
    (run,) = MlflowClient(place[0].tracking_uri).search_runs(["0"])
    assert (run.info.run_id, run.info.status) == (result.run_id, "FINISHED")
    whole = train.run(config(), place[0], **place[1])
    assert [e.train for e in result.history] == [e.train for e in whole.history]
    assert not list((place[0].state_dir / "runs").iterdir())


@pytest.mark.slow
def test_a_run_of_another_experiment_goes_on_there(place, tmp_path):
    other = store_settings(place[0].tracking_uri, "other")
    with pytest.raises(Interrupted):
        train.run(config(), other, observer=StopsAfter(1), **place[1])
    client = MlflowClient(place[0].tracking_uri)
    (run,) = client.search_runs([client.get_experiment_by_name("other").experiment_id])
    resume.run(run.info.run_id, place[0], **place[1])
    assert not client.search_logged_models(["0"])
    assert [model.source_run_id for model in client.search_logged_models([run.info.experiment_id])] == [
        run.info.run_id
    ] * 2


@pytest.mark.slow
def test_a_run_that_was_stopped_before_its_first_checkpoint_starts_over(place):
    interrupted(place, observer=stops_at_once, policy=CheckpointPolicy(every=0, minutes=0))
    for file in checkpoints(place[0]):
        file.unlink()
    result = resumed(place)
    assert len(result.history) == 3
    assert len(MlflowClient(place[0].tracking_uri).search_runs(["0"])) == 1


@pytest.mark.slow
def test_code_is_taken_from_the_command_line_only(place, tmp_path, monkeypatch):
    (tmp_path / "nets_of_mine.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    error = interrupted(place, model="nets_of_mine:plain")
    assert any("cvexp train nets_of_mine:plain --resume" in hint for hint in error.hints)
    with pytest.raises(ConfigError, match="code of its own: nets_of_mine:plain"):
        resumed(place)
    assert len(resumed(place, model="nets_of_mine:plain").history) == 3


def test_another_model_or_fewer_epochs_are_refused(place):
    interrupted(place)
    with pytest.raises(ConfigError, match="the run trained linear, not mlp"):
        resumed(place, model="mlp")
    with pytest.raises(ConfigError, match="--epochs 2: the run asked for 3"):
        resumed(place, epochs=2)


def test_other_data_are_refused(place):
    interrupted(place)
    (request,) = place[0].state_dir.glob("runs/*/request.json")
    request.write_text(json.dumps(json.loads(request.read_text()) | {"dataset_digest": "other"}))
    with pytest.raises(RunError, match="trained on other data"):
        resumed(place)


@pytest.mark.slow
def test_threads_are_the_first_process_s(place):
    interrupted(place, threads=2)
    resumed(place)
    (run,) = MlflowClient(place[0].tracking_uri).search_runs(["0"])
    assert run.data.tags["cvexp.threads"] == "2"
    assert json.loads(run.data.tags["cvexp.conditions"])["threads"] == "2"


@pytest.mark.slow
def test_an_evaluation_takes_the_first_process_s_threads_too(place, monkeypatch):
    interrupted(place)
    (request,) = place[0].state_dir.glob("runs/*/request.json")
    request.write_text(json.dumps(json.loads(request.read_text()) | {"evaluation_threads": 3}))
    asked = []
    run = evaluate.logits_by_class
    monkeypatch.setattr(evaluate, "logits_by_class", lambda *a, **k: asked.append(k["n_threads"]) or run(*a, **k))
    monkeypatch.setattr(evaluate, "threads", lambda n: asked.append(n) or contextlib.nullcontext())
    resumed(place)
    assert set(asked) == {3}


@pytest.mark.parametrize(
    ("words", "flag"), [(["--lr", "0.5"], "--lr"), (["--name", "other"], "--name"), (["--seed", "42"], "--seed")]
)
def test_settings_cannot_be_typed_again(place, cvexp, words, flag):
    interrupted(place)
    outcome = cvexp("train", "--resume", "@last", *words)
    assert outcome.code == 2
    assert f"{flag} cannot be given with --resume" in outcome.stderr


def test_a_run_that_finished_without_keeping_checkpoints_says_how_to_keep_them(place):
    train.run(config(), place[0], **place[1])
    with pytest.raises(RunError, match="its checkpoints are gone") as caught:
        resumed(place, epochs=9)
    assert "--keep" in caught.value.hints[0]


@pytest.mark.parametrize("keep", [1, 3])
@pytest.mark.slow
def test_as_many_checkpoints_stay_as_were_asked_for(place, keep):
    train.run(config(epochs=5), place[0], policy=CheckpointPolicy(keep=keep), **place[1])
    assert len(checkpoints(place[0])) == keep
    assert checkpoints(place[0])[-1].name.startswith("epoch-00006-step-00000000-")


@pytest.mark.slow
def test_checkpoints_come_every_so_many_epochs(place):
    train.run(config(epochs=5), place[0], policy=CheckpointPolicy(every=2, keep=9), **place[1])
    assert [file.name[:11] for file in checkpoints(place[0])] == ["epoch-00003", "epoch-00005", "epoch-00006"]


@pytest.mark.slow
def test_checkpoints_come_within_an_epoch_too(place, monkeypatch):
    monkeypatch.setattr("cvexp.engine.fit.CALL_SECONDS", 1e-6)
    train.run(config(epochs=1), place[0], policy=CheckpointPolicy(every=0, minutes=1e-6, keep=99), **place[1])
    steps = [int(file.name[17:25]) for file in checkpoints(place[0])]
    assert len(steps) > 10
    assert set(steps) <= set(range(1, 46))


@pytest.mark.slow
def test_a_damaged_checkpoint_gives_way_to_the_one_before_it(place):
    interrupted(place, observer=StopsAfter(2))
    older, newest = checkpoints(place[0])
    newest.write_bytes(newest.read_bytes()[:-100])
    state = Checkpoints(older.parent.parent, None).newest()
    assert state.fit["epoch"] == 2
    assert len(resumed(place).history) == 3


def test_where_every_checkpoint_is_damaged_nothing_is_trained(place):
    interrupted(place)
    for file in checkpoints(place[0]):
        file.write_bytes(b"\0" + file.read_bytes()[1:])
    with pytest.raises(WeightsError, match="damaged or altered"):
        resumed(place)


@pytest.mark.parametrize("values", [{"every": -1}, {"minutes": -0.5}, {"minutes": float("nan")}, {"keep": 0}])
def test_a_checkpoint_policy_out_of_range_is_refused(values):
    with pytest.raises(ConfigError, match="at least"):
        CheckpointPolicy(**values)
