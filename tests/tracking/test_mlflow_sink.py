"""Every kind of record may reach the store twice, as after a crash between telling and noting it, with one effect."""

from __future__ import annotations

import pytest
from mlflow import MlflowClient

from cvexp import events
from cvexp.settings import store_settings
from cvexp.tracking.deadline import Deadline
from cvexp.tracking.delivery import DELIVERED
from cvexp.tracking.journal import SENT, Journal
from cvexp.tracking.mlflow_sink import MlflowSink
from cvexp.tracking.outbox import open_run

FIGURES = {"train/loss": 0.5, "train/accuracy": 0.75}


@pytest.fixture
def told(tmp_path, monkeypatch):
    """The settings of a store that was told a whole run, and the run's journal."""
    monkeypatch.chdir(tmp_path)
    settings = store_settings(f"sqlite:///{tmp_path}/mlflow.db", "Default")
    tags = {"cvexp.version": "0"}
    with open_run(settings, model="linear", name=None, tags=tags, keep=True) as run:
        run.emit(events.ParamsLogged({"model": "linear"}))
        run.emit(events.DatasetUsed(name="digits", digest="0", source="{}", profile="{}", context="training"))
        run.emit(events.ModelAnnounced(params={"model": "linear"}, attempt=""))
        run.emit(events.MetricsLogged(values=FIGURES, step=1))
        run.emit(events.MetricsLogged(values=FIGURES, step=2, final=True))
        run.emit(events.SeriesLogged(key="step/train_loss", points=((1, 0.25), (2, 0.125))))
        run.emit(events.TagsSet({"colour": "blue"}))
        (run.folder / "figures").mkdir()
        (run.folder / "figures" / "note.txt").write_text("words")
        run.emit(events.FilesStored(folder="figures"))
        run.emit(events.RunEnded(status="FINISHED", metrics={"time/train_seconds": 2.0}, markdown="a run"))
        folder = run.folder
    return settings, folder


def everything(settings):
    """What the store holds, every point and every artifact."""
    client = MlflowClient(settings.tracking_uri)
    (run,) = client.search_runs(["0"])
    (model,) = client.search_logged_models(["0"])
    points = {
        key: [(m.step, m.value, m.timestamp, m.model_id) for m in client.get_metric_history(run.info.run_id, key)]
        for key in run.data.metrics
        if key != DELIVERED  # it says when the last record was delivered again
    }
    return {
        "info": (run.info.run_id, run.info.run_name, run.info.status, run.info.start_time, run.info.end_time),
        "params": run.data.params,
        "tags": run.data.tags,
        "points": points,
        "inputs": [(i.dataset.name, i.dataset.digest) for i in run.inputs.dataset_inputs],
        "outputs": [o.model_id for o in run.outputs.model_outputs],
        "model": (model.model_id, str(model.status), model.tags, [(m.key, m.value, m.step) for m in model.metrics]),
        "artifacts": [file.path for file in client.list_artifacts(run.info.run_id)],
    }


def test_a_run_that_is_told_twice_is_there_once(told):
    settings, folder = told
    before = everything(settings)
    (folder / SENT).unlink()
    journal = Journal(folder)
    assert journal.unsent == len(journal.records) == 10
    sink = MlflowSink(settings, journal)
    sink.open(Deadline())
    for record in journal.records:
        for _ in range(2):
            facts = sink.deliver(record)
        journal.mark_sent(record, facts)
    assert everything(settings) == before
    assert before["points"]["train/loss"][0][:2] == (1, 0.5)
    assert len(before["points"]["train/loss"]) == 2
    assert before["artifacts"] == ["note.txt"]


def test_a_record_keeps_the_moment_it_was_made(told):
    settings, folder = told
    logged = [record for record in Journal(folder).records if isinstance(record.event, events.MetricsLogged)]
    moments = {record.event.step: record.at for record in logged}
    points = everything(settings)["points"]["train/loss"]
    assert {step: at for step, _, at, _ in points} == moments
