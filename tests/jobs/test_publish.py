"""A comparison is put where MLflow's pages show it, on request."""

from __future__ import annotations

import pytest

from cvexp.runs import FRONT
from cvexp.settings import store_settings
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store

FIGURES = {"test/accuracy": 0.9, "time/train_seconds": 1.5}


@pytest.fixture
def two_runs(record):
    record("good", model="linear", figures=FIGURES)
    record("better", model="mlp", figures=FIGURES)
    return open_store(store_settings(record.uri), create=False)


def test_publish_stores_report_and_picture_with_the_newest_run(two_runs, cvexp):
    done = cvexp("compare", "--plot", "seen.svg", "--publish")
    newest = search(two_runs, last=1)[0]
    assert done.code == 0
    assert f"stored as comparison/report.html with run {newest.run_id[:12]}" in done.stderr
    stored = {file.path for file in two_runs.client.list_artifacts(newest.run_id, "comparison")}
    assert stored == {"comparison/report.html", "comparison/compare.svg"}


def test_compare_alone_writes_nothing_to_the_store(two_runs, cvexp):
    before = [dict(run.tags) for run in search(two_runs)]
    assert cvexp("compare").code == 0
    assert [dict(run.tags) for run in search(two_runs)] == before
    assert not any(FRONT in tags for tags in before)


def test_nothing_to_publish_is_said(record, cvexp):
    done = cvexp("compare", "--publish")
    assert done.code == 2
    assert "nothing to publish" in done.stderr
    assert len(done.stderr.splitlines()) <= 3
