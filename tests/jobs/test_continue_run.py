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
from cvexp.training.shared import SharedFolder

pytestmark = pytest.mark.slow


class GoneError(Exception):
    """The machine is lost."""


class Place:
    """A working folder with its own local state, on a store that all share."""

    def __init__(self, folder, url):
        self.settings = store_settings(f"sqlite:///{folder}/mlflow.db")
        self.policy = CheckpointPolicy(shared=url)
        self.given = {"data_dir": folder / "data", "command": ["cvexp"]}
        self.client = MlflowClient(self.settings.tracking_uri)

    def train(self, *, lost_in=None, policy=None):
        """Train three epochs; at the end of epoch `lost_in`, the machine is lost, and what the run left here."""
        policy = policy or self.policy

        def observer(event):
            if isinstance(event, EpochEnded) and event.metrics.epoch == lost_in:
                deadline = time.monotonic() + 20
                while policy.shared and not self.copies(f"epoch-{lost_in:05d}-*.pt"):
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

    def copies(self, pattern="*"):
        """The objects in the shared folder."""
        folder = SharedFolder(self.policy.shared)
        folder._system.invalidate_cache()
        return folder._system.glob(f"{folder._root}/*/{pattern}")

    def resume(self, run_id, policy=None):
        return resume.run(run_id, self.settings, policy=policy or self.policy, **self.given)


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path, str(tmp_path / "shared"))


@pytest.fixture(params=["memory", "s3"])
def object_store(request, tmp_path, monkeypatch):
    """A place whose shared folder is in fsspec's own object store, or in one that speaks S3."""
    monkeypatch.chdir(tmp_path)
    if request.param == "memory":
        yield Place(tmp_path, f"memory://{tmp_path}")
        return
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for key, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(key, value)
    try:
        SharedFolder("s3://bucket")._system.mkdir("bucket")
        yield Place(tmp_path, "s3://bucket/checkpoints")
    finally:
        server.stop()


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
    assert place.copies() == []
    with pytest.raises(RunError, match=f"is continued by run {continued.run_name}"):
        place.resume(lost)


@pytest.mark.campaign
def test_it_is_through_an_object_store_too(object_store):
    whole = object_store.train()
    continued = object_store.resume(object_store.train(lost_in=3))
    assert figures(object_store.client, continued.run_id) == figures(object_store.client, whole.run_id)
    assert object_store.copies() == []


def test_a_run_that_may_be_alive_elsewhere_is_taken_over_only_when_asked(place):
    lost = place.train(lost_in=2)
    place.client.set_terminated(lost, "RUNNING")
    place.client.set_tag(lost, "cvexp.host", "another-host")
    with pytest.raises(RunError) as refused:
        place.resume(lost)
    assert "may still be training on another-host" in refused.value.what
    assert "--take-over" in refused.value.lines()[-1]
    continued = place.resume(lost, CheckpointPolicy(shared=place.policy.shared, take_over=True))
    assert place.client.get_run(lost).info.status == "KILLED"
    assert place.client.get_run(continued.run_id).info.status == "FINISHED"


def test_without_a_shared_checkpoint_it_is_said_how_there_would_be_one(place):
    lost = place.train(lost_in=2, policy=CheckpointPolicy())
    with pytest.raises(RunError) as refused:
        place.resume(lost, CheckpointPolicy())
    assert "--checkpoints" in refused.value.lines()[-1]
    with pytest.raises(RunError, match="left nothing to resume from"):
        place.resume(lost)
