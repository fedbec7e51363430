"""The saved view of an experiment's page in MLflow: what it says, when it is written, and what it leaves alone."""

from __future__ import annotations

import json
import re

import pytest
from mlflow import MlflowClient

from cvexp.results import Metric
from cvexp.settings import store_settings
from cvexp.tracking import views
from cvexp.tracking.store import open_store

THEIRS = "mlflow.sharedViewState.0f1e2d3c"


@pytest.fixture
def store(record):
    record("a run", figures={"test/accuracy": 0.5})
    return open_store(store_settings(record.uri), create=False)


def tags(store):
    return dict(store.client.get_experiment(store.experiment_id).tags)


def test_the_view_is_what_mlflow_s_page_reads():
    value = views.view_value(at=1_700_000_000_000)
    assert len(value) < views.MAX_CHARACTERS
    envelope = json.loads(value)
    assert {name: type(one) for name, one in envelope.items()} == {"name": str, "createdAt": int, "state": str}
    state = json.loads(envelope["state"])
    assert state == views.view_state()
    (section,) = state["compareRunSections"]
    charts = state["compareRunCharts"]
    assert {chart["metricSectionId"] for chart in charts} == {section["uuid"]}
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    scatters = {(c["xaxis"]["key"], c["yaxis"]["key"]) for c in charts if c["type"] == "SCATTER"}
    measures = ("time/train_seconds", "bench/latency_ms", "model/parameters")
    assert scatters == {(measure, "test/accuracy") for measure in measures}
    keys = [(key["mode"], key["groupByData"]) for key in state["groupBy"]["groupByKeys"]]
    assert keys == [("param", "model"), ("tag", "cvexp.recipe")]


def test_every_metric_parameter_and_tag_of_the_view_is_one_that_runs_have(lab):
    state = views.view_state()
    run = MlflowClient(lab.settings.tracking_uri).get_run(lab.runs["tinyvgg"].run_id).data
    named = re.findall(r"(\w+)\.`([^`]+)`", " ".join(state["columnWidths"]))
    written_later = {Metric.LATENCY_MS.value, "cvexp.front"}  # by bench and by compare
    known = {"metrics": run.metrics, "params": run.params, "tags": run.tags, "attributes": {"Run Name"}}
    missing = {key for kind, key in named if key not in known[kind]} - written_later
    assert not missing
    assert state["selectedColumns"] == state["columnOrder"][1:] == list(state["columnWidths"])[1:]
    assert all(key["groupByData"] in {**run.params, **run.tags} for key in state["groupBy"]["groupByKeys"])


def test_a_training_leaves_the_view_in_its_experiment(lab):
    experiment = MlflowClient(lab.settings.tracking_uri).get_experiment_by_name("Default")
    assert json.loads(experiment.tags[views.VIEW_TAG])["name"] == "Accuracy against speed"


def test_the_view_is_written_once_and_the_user_s_own_stay(store):
    store.client.set_experiment_tag(store.experiment_id, THEIRS, "theirs")
    views.write_view(store)
    written = tags(store)
    assert views.has_view(store)
    views.write_view(store)
    assert tags(store) == written
    assert written[THEIRS] == "theirs"


def test_a_new_version_replaces_the_view(store, monkeypatch):
    views.write_view(store)
    store.client.set_experiment_tag(store.experiment_id, views.VIEW_TAG, '{"name": "of before"}')
    monkeypatch.setattr(views, "VERSION", views.VERSION + 1)
    views.write_view(store)
    assert json.loads(tags(store)[views.VIEW_TAG])["name"] == views.NAME


def test_a_view_that_a_later_version_wrote_stays(store):
    store.client.set_experiment_tag(store.experiment_id, views.VERSION_TAG, str(views.VERSION + 1))
    views.write_view(store)
    assert not views.has_view(store)


def test_a_view_that_the_user_deleted_stays_deleted(store):
    views.write_view(store)
    store.client.delete_experiment_tag(store.experiment_id, views.VIEW_TAG)
    views.write_view(store)
    assert not views.has_view(store)


def test_a_view_that_the_user_overrode_stays_as_it_is(store, monkeypatch):
    views.write_view(store)
    theirs = json.dumps({"name": views.NAME, "createdAt": 1, "updatedAt": 2, "state": "{}"})
    store.client.set_experiment_tag(store.experiment_id, views.VIEW_TAG, theirs)
    monkeypatch.setattr(views, "VERSION", views.VERSION + 1)
    views.write_view(store)
    assert tags(store)[views.VIEW_TAG] == theirs


@pytest.mark.parametrize("damaged", ["", "one", "-1", "9" * 40, "\u0663"])
def test_a_version_that_cannot_be_read_is_none(store, damaged):
    store.client.set_experiment_tag(store.experiment_id, views.VERSION_TAG, damaged)
    views.write_view(store)
    assert views.has_view(store)


def test_comparing_does_not_write_the_view(store, cvexp):
    assert cvexp("compare").code == 0
    assert not views.has_view(store)
