"""An attempt trains a run, goes on with the one before it, keeps the data, and stops as it is asked to."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from mlflow import MlflowClient

from cvexp.config import run_config
from cvexp.executors.seam import Attempt, Ended, Epoch, Started
from cvexp.jobs import attempt as job
from cvexp.training.outputs import Outputs

SMALL = Outputs(test=False, pictures=False, program=False)


class Channel:
    """Asks for a stop after an epoch."""

    def __init__(self, stop=None, *, after=0):
        self.stop, self.after, self.events = stop, after, []

    def emit(self, event):
        self.events.append(event)

    def asked(self):
        done = sum(isinstance(event, Epoch) for event in self.events)
        return self.stop if done >= self.after else None


@pytest.fixture
def make(record, tmp_path):
    job._kept.cache_clear()

    def made(trial="t-1", number=1, **settings):
        config = run_config(
            {"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 4, "val_split": 0.2, **settings}
        )
        return Attempt(
            trial=trial,
            number=number,
            config=config.params(),
            store={"tracking_uri": record.uri, "experiment": "Default"},
            data_dir=str(tmp_path),
            outputs=SMALL,
            tags={"team": "blue"},
            n_slots=2,
        )

    return made


def the_run(record, run_id):
    return MlflowClient(record.uri).get_run(run_id)


def test_an_attempt_says_how_it_does_and_its_run_says_whose_it_is(make, record):
    channel = Channel()
    ended = job.run(make(), channel)
    assert [type(event) for event in channel.events] == [Started, *[Epoch] * 4]
    assert [event.epoch for event in channel.events[1:]] == [1, 2, 3, 4]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.waiting, ended.exit_code) == ("FINISHED", 0, 0)
    assert ended.run_id == channel.events[0].run_id
    run = the_run(record, ended.run_id)
    assert run.data.metrics["val/loss"] == ended.metrics["val/loss"]
    tags = run.data.tags
    assert (tags["cvexp.trial"], tags["cvexp.attempt"], tags["team"]) == ("t-1", "1", "blue")
    assert json.loads(tags["cvexp.conditions"])["threads"] == "by model size, at most 1, 2 runs at once"


def test_the_data_of_one_attempt_are_kept_for_the_next(make, monkeypatch):
    assert job.run(make(epochs=1), Channel()).status == "FINISHED"
    monkeypatch.setattr("cvexp.data.dataset.load_dataset", lambda *_, **__: pytest.fail("the data are read again"))
    assert job.run(make("t-2", epochs=1, seed=2), Channel()).status == "FINISHED"


def test_an_attempt_that_is_stopped_early_is_finished_and_tagged_as_pruned(make, record):
    ended = job.run(make(), Channel("early", after=2))
    assert ended.status == "FINISHED"
    run = the_run(record, ended.run_id)
    assert (run.info.status, run.data.tags["cvexp.pruned"]) == ("FINISHED", "2")


def test_the_next_attempt_goes_on_in_the_same_run_with_the_same_bits(make, record):
    whole = job.run(make("t-whole"), Channel())
    killed = job.run(make("t-1"), Channel("now", after=2))
    assert (killed.status, killed.exit_code) == ("KILLED", 143)
    assert killed.reason.startswith("kept as of")
    assert the_run(record, killed.run_id).info.status == "KILLED"
    channel = Channel()
    again = job.run(make("t-1", 2), channel)
    assert (again.status, again.run_id) == ("FINISHED", killed.run_id)
    assert [event.epoch for event in channel.events[1:]] == [3, 4]
    one, other = the_run(record, whole.run_id), the_run(record, again.run_id)
    assert one.data.tags["cvexp.weights_sha256"] == other.data.tags["cvexp.weights_sha256"]
    assert other.data.tags["cvexp.attempt"] == "2"
    assert "test/loss" not in other.data.metrics


def test_a_run_that_goes_on_leaves_what_it_began_with_unless_asked_otherwise(make, record):
    killed = job.run(make("t-1"), Channel("now", after=2))
    again = job.run(replace(make("t-1", 2), outputs=None), Channel())
    assert again.run_id == killed.run_id
    assert the_run(record, again.run_id).data.tags["cvexp.not_made"] == "test, pictures, program"


def elsewhere(monkeypatch, tmp_path):
    """From here on this process is another machine: it has a folder for local state of its own."""
    monkeypatch.setenv("CVEXP_STATE_DIR", str(tmp_path / "elsewhere"))
    job._kept.cache_clear()


def test_the_next_attempt_on_another_machine_continues_from_a_shared_checkpoint(make, record, monkeypatch, tmp_path):
    whole = job.run(make("t-whole"), Channel())
    shared = {"checkpoints": str(tmp_path / "shared")}
    killed = job.run(replace(make("t-1"), **shared), Channel("now", after=2))
    elsewhere(monkeypatch, tmp_path)
    channel = Channel()
    again = job.run(replace(make("t-1", 2), continues=killed.run_id, **shared), channel)
    assert again.status == "FINISHED"
    assert again.run_id != killed.run_id
    assert [event.epoch for event in channel.events[1:]] == [3, 4]
    one, other = the_run(record, whole.run_id), the_run(record, again.run_id)
    assert one.data.tags["cvexp.weights_sha256"] == other.data.tags["cvexp.weights_sha256"]
    assert [other.data.tags[key] for key in ("cvexp.continues", "cvexp.attempt")] == [killed.run_id, "2"]
    assert the_run(record, killed.run_id).info.status == "KILLED"
    assert not list((tmp_path / "shared").rglob("*.pt"))


@pytest.mark.parametrize("why", ["nothing is shared", "the checkpoint is damaged", "it is continued already"])
def test_it_begins_anew_where_no_shared_checkpoint_can_be_used(why, make, record, monkeypatch, tmp_path):
    if why != "nothing is shared":
        monkeypatch.setenv("CVEXP_CHECKPOINTS", str(tmp_path / "shared"))
    killed = job.run(make("t-1"), Channel("now", after=2))
    for copy in (tmp_path / "shared").rglob("*.pt"):
        if why == "the checkpoint is damaged":
            copy.write_bytes(copy.read_bytes()[:-1])
    if why == "it is continued already":
        record("another", tags={"cvexp.continues": killed.run_id})
    elsewhere(monkeypatch, tmp_path)
    channel = Channel()
    again = job.run(replace(make("t-1", 2), continues=killed.run_id), channel)
    assert again.status == "FINISHED"
    assert [event.epoch for event in channel.events[1:]] == [1, 2, 3, 4]
    assert "cvexp.continues" not in the_run(record, again.run_id).data.tags


def test_an_error_that_is_expected_ends_the_attempt_with_its_words(make, record):
    ended = job.run(make(optimizer="sgd", lr=1e30), Channel())
    assert (ended.status, ended.exit_code) == ("FAILED", 1)
    assert "loss" in ended.reason
    assert the_run(record, ended.run_id).info.status == "FAILED"
