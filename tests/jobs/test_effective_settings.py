"""A run that was trained on for more epochs than it first asked for is what it became, wherever it is shown."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
from dataclasses import dataclass

import pytest
from mlflow import MlflowClient

from cvexp.config import run_config
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.errors import Interrupted
from cvexp.events import EpochEnded
from cvexp.jobs import api, resume, train

FILE = "defaults: {{dataset: digits, device: cpu}}\nruns: [{{model: linear, epochs: {epochs}}}]\n"


@dataclass
class StopsAfter:
    epoch: int

    def __call__(self, event):
        if isinstance(event, EpochEnded) and event.metrics.epoch == self.epoch:
            os.kill(os.getpid(), signal.SIGTERM)


@pytest.fixture
def place(record, tmp_path):
    from cvexp.settings import store_settings

    return store_settings(record.uri), {
        "data_dir": tmp_path / "data",
        "command": ["cvexp"],
        "policy": CheckpointPolicy(keep=1),
    }


def trained(place, **settings):
    config = run_config({"model": "linear", "dataset": "digits", "device": "cpu", **settings})
    return train.run(config, place[0], **place[1])


@pytest.mark.slow
def test_an_extended_run_is_shown_with_the_epochs_it_was_trained_for(place, cvexp, tmp_path):
    short = trained(place, epochs=2)
    other = trained(place, epochs=3)
    resume.run(short.run_id, place[0], epochs=3, **place[1])

    def answering(epochs):
        path = tmp_path / "file.yaml"
        path.write_text(FILE.format(epochs=epochs))
        (planned,) = cvexp("run", str(path), "--dry-run", "--json").document["runs"]
        return planned["trained_already_as"]

    assert answering(2) is None
    assert answering(3) in (short.run_id, other.run_id)
    shown = cvexp("compare", "--json").document
    assert [run["params"]["epochs"] for run in shown["runs"]] == ["3", "3"]
    assert {run["conditions"] for run in shown["runs"]} == {"a"}
    rows = list(csv.DictReader(io.StringIO(cvexp("compare", "--format", "csv").stdout)))
    assert [row["params.epochs"] for row in rows] == ["3", "3"]
    assert "epochs=" not in cvexp("compare").stdout
    assert api.compare().loc[short.run_id, "params.epochs"] == "3"
    assert cvexp("export", short.run_id, "--out", "x.pt").code == 0
    assert json.loads((tmp_path / "x.pt.json").read_text())["settings"]["epochs"] == "3"
    note = MlflowClient(place[0].tracking_uri).get_run(short.run_id).data.tags["mlflow.note.content"]
    assert "3 epochs" in note


@pytest.mark.slow
def test_an_extension_that_was_interrupted_goes_on_to_its_own_end(place):
    short = trained(place, epochs=1)
    with pytest.raises(Interrupted):
        resume.run(short.run_id, place[0], epochs=4, observer=StopsAfter(2), **place[1])
    result = resume.run(short.run_id, place[0], **place[1])
    assert [epoch.epoch for epoch in result.history] == [1, 2, 3, 4]
    tags = MlflowClient(place[0].tracking_uri).get_run(short.run_id).data.tags
    assert json.loads(tags["cvexp.conditions"])["epochs"] == 4
    assert tags["cvexp.epochs"] == "4"
