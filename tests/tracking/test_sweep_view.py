from __future__ import annotations

import json

from cvexp.settings import store_settings
from cvexp.tracking.store import open_store
from cvexp.tracking.sweep_view import TAG, view_value, write_sweep_view
from cvexp.tracking.views import MAX_CHARACTERS

ASKED = {"name": "searched", "digest": "abc123", "settings": ["model", "lr"], "goals": ["val/accuracy", "parameters"]}


def test_a_view_shows_the_sweeps_trials_only_the_best_first():
    value = json.loads(view_value(**ASKED, at=5))
    state = json.loads(value["state"])
    assert (value["name"], value["createdAt"]) == ("Sweep searched", 5)
    assert state["searchFilter"] == "tags.`cvexp.sweep` = 'abc123'"
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val/accuracy`", False)
    assert {"params.`lr`", "params.`model`", "metrics.`model/parameters`"} <= set(state["selectedColumns"])
    parallel = state["compareRunCharts"][0]
    assert (parallel["type"], parallel["selectedParams"]) == ("PARALLEL", ["model", "lr"])


def test_a_view_of_many_settings_fits_a_tag():
    many = ASKED | {"settings": [f"a_setting_with_a_long_name_{n}" * 4 for n in range(40)], "name": "x" * 900}
    assert len(view_value(**many, at=5)) <= MAX_CHARACTERS


def test_a_view_is_written_once(record):
    record("first")
    store = open_store(store_settings(record.uri), create=False)
    write_sweep_view(store, **ASKED)
    tag = TAG.format(digest="abc123")
    written = store.client.get_experiment(store.experiment_id).tags[tag]
    write_sweep_view(store, **ASKED)
    assert store.client.get_experiment(store.experiment_id).tags[tag] == written
