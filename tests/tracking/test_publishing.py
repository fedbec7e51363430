from __future__ import annotations

from pathlib import Path

import pytest

from cvexp.settings import store_settings
from cvexp.tracking.publishing import NOTE, publish_comparison
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store


@pytest.fixture
def store(record):
    record("older")
    record("newer")
    return open_store(store_settings(record.uri), create=False)


def note(store):
    return store.client.get_experiment(store.experiment_id).tags.get(NOTE)


def artifacts(store, run_id):
    return {file.path for file in store.client.list_artifacts(run_id, "comparison")}


def test_report_and_picture_are_artifacts_of_the_newest_run_and_the_experiment_links_to_them(store, tmp_path):
    picture = tmp_path / "drawn.png"
    picture.write_bytes(b"\x89PNG")
    runs = search(store)
    run_id = publish_comparison(store, runs, html="<p>ü</p>", picture=picture)
    assert run_id == next(run.run_id for run in runs if run.name == "newer")
    assert artifacts(store, run_id) == {"comparison/report.html", "comparison/compare.png"}
    report = store.client.download_artifacts(run_id, "comparison/report.html")
    assert Path(report).read_text(encoding="utf-8") == "<p>ü</p>"
    assert f"(#/experiments/0/runs/{run_id}/artifacts/comparison/report.html?" in note(store)


def test_a_later_comparison_takes_the_place_of_the_link(store, record):
    publish_comparison(store, search(store), html="one")
    newest = record("newest")
    publish_comparison(store, search(store), html="two")
    assert newest in note(store)
    assert note(store).count("[report]") == 1


@pytest.mark.parametrize("theirs", ["What we want to find out.", "Newest comparison of 2 runs: [report](x) and more"])
def test_a_description_that_the_user_wrote_stays(store, theirs):
    store.client.set_experiment_tag(store.experiment_id, NOTE, theirs)
    run_id = publish_comparison(store, search(store), html="one")
    assert note(store) == theirs
    assert artifacts(store, run_id) == {"comparison/report.html"}
