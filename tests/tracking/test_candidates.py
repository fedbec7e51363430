"""`@best` among the few runs that the store names is what it is among all of them."""

from __future__ import annotations

import random
import sqlite3
from functools import partial

import pytest

from cvexp.comparability import images_key
from cvexp.config import run_config
from cvexp.errors import RunError
from cvexp.settings import StoreSettings, store_settings
from cvexp.tracking import queries, statistics
from cvexp.tracking.finished import search_recipes
from cvexp.tracking.queries import find
from cvexp.tracking.store import open_store

NAN, INF = float("nan"), float("inf")
SELECTORS = (
    *("@best", "@best:test/loss", "@best:time/train_seconds", "@best@digits", "@best@digits:val/accuracy"),
    *("@best@mnist-5k", "@best@mnist-5k,limit=100", "@best@digits,val_split=0.20", "@best@nothing", "@best:no/such"),
)

EVERY, SOME, WRONG = "every run has its key", "some runs have none", "one run has the key of other images"


def outcome(store, selector):
    try:
        return find(store, selector).run.run_id
    except RunError as error:
        return error.what, error.hints


def tags_of_kind(images, n, val_split, limit, *, keyed):
    """The tags that say which images the n-th run was measured on."""
    params = run_config({"model": "linear", "val_split": val_split, "limit": limit}).params()
    if keyed == SOME and n % 2:
        return {"cvexp.test_set": images}
    if keyed == WRONG and n == 3:
        params["split_seed"] = "7"
    return {"cvexp.test_set": images, images_key(images, params): ""}


@pytest.fixture(params=[EVERY, SOME, WRONG])
def keyed(request):
    return request.param


@pytest.fixture
def store(record, keyed):
    """Runs on several kinds of images; of the current version, of several versions, and with a tag that is wrong."""
    draw = random.Random(4)
    of_kind = partial(tags_of_kind, keyed=keyed)
    for n in range(10):
        val_split = draw.choice([0.0, 0.1, 0.2])
        dataset, limit = draw.choice([("digits", None), ("mnist-5k", None), ("mnist-5k", 100)])
        figures = {"test/accuracy": draw.choice([0.5, 0.9, NAN]), "test/loss": draw.choice([0.1, INF, 0.2])}
        figures |= {"val/accuracy": draw.choice([0.5, 0.7, 0.7])} if val_split else {}
        figures |= {"time/train_seconds": draw.random()} if n % 2 else {}
        images = f"{dataset[:4].encode().hex()}{'' if limit is None else f',limit={limit},split_seed=42'}"
        record(
            f"run {n}",
            figures=figures,
            dataset=dataset,
            limit=limit,
            val_split=val_split,
            status="KILLED" if n == 5 else "FINISHED",
            tags=of_kind(images, n, val_split, limit) | ({"cvexp.recipe": f"{n % 3:016x}"} if n % 4 else {}),
        )
    of_sweep = {**of_kind(f"{b'digi'.hex()}", 1, 0.1, None), "cvexp.sweep": "abc"}
    record("trial", figures={"val/accuracy": 0.99}, dataset="digits", val_split=0.1, tags=of_sweep)
    record("pick", figures={"val/accuracy": 0.8, "test/accuracy": 0.7}, dataset="digits", val_split=0.1, tags=of_sweep)
    return open_store(store_settings(record.uri), create=False)


def test_the_tables_and_a_server_name_the_runs_that_decide(store, keyed, monkeypatch):
    with monkeypatch.context() as whole:
        whole.setattr(queries, "_candidates", lambda *_: None)
        expected = {selector: outcome(store, selector) for selector in SELECTORS}
    assert {selector: outcome(store, selector) for selector in SELECTORS} == expected
    assert sum(isinstance(found, str) for found in expected.values()) >= 2
    asked = []
    search_runs = store.client.search_runs
    with monkeypatch.context() as served:
        served.setattr(StoreSettings, "sqlite_file", property(lambda _: None))
        served.setattr(store.client, "search_runs", lambda *a, **k: asked.append((a[1], k)) or search_runs(*a, **k))
        for selector in SELECTORS[:-1]:
            assert outcome(store, selector) == expected[selector], selector
    assert {options["max_results"] for _, options in asked} == {1}  # no page of runs
    assert any("!=" in clauses for clauses, _ in asked) == (keyed != EVERY)  # for which a database looks at values
    finished_runs_are_asked_for_by_recipe(store, monkeypatch)


def finished_runs_are_asked_for_by_recipe(store, monkeypatch):
    wanted = [f"{1:016x}", f"{9:016x}"]
    every = queries.search(store, status="FINISHED")
    expected = [run for run in every if run.recipe in (*wanted, "")]
    assert 0 < len(expected) < len(every)
    assert [run.run_id for run in search_recipes(store, wanted)] == [run.run_id for run in expected]
    monkeypatch.setattr(StoreSettings, "sqlite_file", property(lambda _: None))
    assert [run.run_id for run in search_recipes(store, wanted)] == [run.run_id for run in expected]


def test_a_store_is_analysed_once_it_is_large_and_when_it_has_grown(record, monkeypatch):
    settings = store_settings(record.uri)
    record("one", figures={"test/accuracy": 0.5})
    assert not statistics.refresh_statistics(settings)
    monkeypatch.setattr(statistics, "MIN_RUNS", 1)
    monkeypatch.setattr(statistics, "GROWTH", 2)
    assert statistics.refresh_statistics(settings)
    assert not statistics.refresh_statistics(settings)
    with sqlite3.connect(settings.sqlite_file) as database:
        assert database.execute("SELECT count(*) FROM sqlite_stat1 WHERE tbl = 'latest_metrics'").fetchone()[0] > 0
        database.execute("UPDATE sqlite_stat1 SET stat = '1 1' WHERE tbl = 'runs'")
    record("two")
    assert statistics.refresh_statistics(settings)
    with sqlite3.connect(settings.sqlite_file) as database:
        database.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr(statistics, "LOCK_SECONDS", 0.01)
        monkeypatch.setattr(statistics, "_known_runs", lambda _: 0)
        assert not statistics.refresh_statistics(settings)  # another process writes: later
