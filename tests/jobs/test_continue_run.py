"""A run that another machine continues: from a checkpoint that both reach, in a run of its own, to the same bits."""

from __future__ import annotations

import shutil
import time

import pytest
from mlflow import MlflowClient

from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.errors import RunError
from cvexp.events import EpochEnded
from cvexp.jobs import resume, train
from cvexp.runs import CONTINUES
from cvexp.settings import store_settings

pytestmark = pytest.mark.slow


class GoneError(Exception):
    """The machine is lost."""


class Place:
    """A working folder with its own local state, on a store that all share."""

    def __init__(self, folder):
        self.settings = store_settings(f"sqlite:///{folder}/mlflow.db")
        self.shared = folder / "shared"
        self.policy = CheckpointPolicy(shared=str(self.shared))
        self.given = {"data_dir": folder / "data", "command": ["cvexp"]}
        self.client = MlflowClient(self.settings.tracking_uri)

    def train(self, *, lost_in=None, policy=None):
        """Train three epochs; at the end of epoch `lost_in`, the machine is lost, and what the run left here."""
        policy = policy or self.policy

        def observer(event):
            if isinstance(event, EpochEnded) and event.metrics.epoch == lost_in:
                deadline = time.monotonic() + 20
                while policy.shared and not list(self.shared.glob(f"*/epoch-{lost_in:05d}-*.pt")):
                    assert time.monotonic() < deadline
                    time.sleep(0.01)
                raise GoneError

        config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", "epochs": 3, "threads": 1})
        try:
            return train.run(config, self.settings, observer=observer, policy=policy, **self.given)
        except GoneError:
            shutil.rmtree(self.settings.state_dir / "runs")
            (run,) = self.client.search_runs(["0"], "attributes.status = 'FAILED'")
            return run.info.run_id

    def resume(self, run_id, policy=None):
        return resume.run(run_id, self.settings, policy=policy or self.policy, **self.given)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path)


def figures(client, run_id):
    run = client.get_run(run_id)
    keys = [key for key in run.data.metrics if key.startswith(("train/", "test/"))]
    points = {key: sorted((p.step, p.value) for p in client.get_metric_history(run_id, key)) for key in keys}
    return points, run.data.tags["cvexp.weights_sha256"], run.data.tags["cvexp.recipe"], run.data.params


def test_the_run_that_continues_another_is_bit_for_bit_an_uninterrupted_one(place):
    whole = place.train()
    lost = place.train(lost_in=3)
    continued = place.resume(lost)
    assert continued.run_id not in (lost, whole.run_id)
    assert figures(place.client, continued.run_id) == figures(place.client, whole.run_id)
    assert place.client.get_run(continued.run_id).data.tags[CONTINUES] == lost
    assert list(place.shared.iterdir()) == []
    with pytest.raises(RunError, match=f"is continued by run {continued.run_name}"):
        place.resume(lost)


def test_a_run_that_may_be_alive_elsewhere_is_taken_over_only_when_asked(place):
    lost = place.train(lost_in=2)
    place.client.set_terminated(lost, "RUNNING")
    place.client.set_tag(lost, "cvexp.host", "another-host")
    with pytest.raises(RunError) as refused:
        place.resume(lost)
    assert "may still be training on another-host" in refused.value.what
    assert "--take-over" in refused.value.lines()[-1]
    continued = place.resume(lost, CheckpointPolicy(shared=str(place.shared), take_over=True))
    assert place.client.get_run(lost).info.status == "KILLED"
    assert place.client.get_run(continued.run_id).info.status == "FINISHED"


def test_without_a_shared_checkpoint_it_is_said_how_there_would_be_one(place):
    lost = place.train(lost_in=2, policy=CheckpointPolicy())
    with pytest.raises(RunError) as refused:
        place.resume(lost, CheckpointPolicy())
    assert "--checkpoints" in refused.value.lines()[-1]
    with pytest.raises(RunError, match="left nothing to resume from"):
        place.resume(lost)
