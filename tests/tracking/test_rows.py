"""Runs read from the tables of a local store are those that MLflow's client finds."""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace

import pytest

from cvexp.settings import store_settings
from cvexp.tracking import queries
from cvexp.tracking.rows import Fields, read_runs
from cvexp.tracking.store import open_store

NAN, INF = float("nan"), float("inf")


@pytest.fixture
def store(record):
    record("first", figures={"test/accuracy": 0.1, "test/loss": INF, "train/loss": -INF, "time/train_seconds": 1e-30})
    record("second", experiment="pair", figures={"test/accuracy": NAN, "test/loss": 0.1 + 0.2}, val_split=0.2)
    record("third", status="FAILED", tags={"cvexp.note": "zwei\nZeilen \u2028 'und' \"mehr\""}, model="mlp")
    record("fourth", figures={"test/accuracy": 0.9}, tags={"cvexp.version": ""})
    deleted = record("deleted", figures={"test/accuracy": 0.9})
    opened = open_store(store_settings(record.uri), create=False)
    opened.client.delete_run(deleted)
    return opened


def by_client(store, monkeypatch, **asked):
    with monkeypatch.context() as patched:
        patched.setattr(queries, "read_runs", lambda *_args, **_kwargs: None)
        return queries.search(store, **asked)


def plain(runs):
    """Every field of every run, with NaN equal to NaN."""
    return [replace(one, metrics={key: repr(value) for key, value in one.metrics.items()}) for one in runs]


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"everywhere": True},
        {"everywhere": True, "anyones": True},
        {"everywhere": True, "status": "FINISHED"},
        {"everywhere": True, "last": 2},
        {"status": "RUNNING"},
    ],
    ids=str,
)
def test_the_tables_give_what_the_client_gives(store, monkeypatch, asked):
    expected = by_client(store, monkeypatch, **asked)
    assert plain(queries.search(store, **asked)) == plain(expected)


def test_figures_are_read_to_the_last_bit(store):
    runs = {run.name: run for run in queries.search(store, everywhere=True)}
    assert runs["second"].metrics["test/loss"] == 0.1 + 0.2
    assert math.isnan(runs["second"].metrics["test/accuracy"])
    assert (runs["first"].metrics["test/loss"], runs["first"].metrics["train/loss"]) == (INF, -INF)


def test_only_the_fields_that_are_needed_are_read(store):
    fields = Fields(params=("model",), metrics=(), tags=("cvexp.device",))
    (run,) = read_runs(store.settings.sqlite_file, [store.experiment_id], status="FAILED", fields=fields)
    assert (run.name, run.params, run.metrics, run.tags) == ("third", {"model": "mlp"}, {}, {"cvexp.device": "cpu"})


@pytest.mark.parametrize(
    "damage",
    [
        "ALTER TABLE latest_metrics RENAME TO last_metrics",
        "UPDATE runs SET start_time = 'yesterday'",
        "UPDATE latest_metrics SET value = 'many'",
        "UPDATE runs SET start_time = 1e300",
    ],
)
def test_tables_that_look_otherwise_are_left_to_the_client(store, damage):
    with sqlite3.connect(store.settings.sqlite_file) as database:
        database.execute(damage)
    assert read_runs(store.settings.sqlite_file, [store.experiment_id]) is None


def test_where_there_is_no_database_the_client_is_asked(tmp_path):
    assert read_runs(tmp_path / "none.db", ["0"]) is None
    assert list(tmp_path.iterdir()) == []


def test_a_text_with_the_separator_in_it_is_read_as_it_is(record, monkeypatch):
    record("odd", tags={"cvexp.note": "a\x1fb"})
    opened = open_store(store_settings(record.uri), create=False)
    (found,) = queries.search(opened)
    assert found.tags["cvexp.note"] == "a\x1fb"
    assert plain([found]) == plain(by_client(opened, monkeypatch))


def test_tags_that_are_not_needed_are_left_out_alone(store):
    (whole,) = queries.search(store, status="FAILED")
    (less,) = queries.search(store, status="FAILED", fields=Fields(but_tags=("cvexp.note", "cvexp.absent")))
    assert less.tags == {key: value for key, value in whole.tags.items() if key != "cvexp.note"}
    assert (less.params, less.metrics) == (whole.params, whole.metrics)
