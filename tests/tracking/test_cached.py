"""Runs that are kept here are those of the store, whatever happened to them there since."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from mlflow import MlflowClient
from mlflow.entities import RunTag

from cvexp.errors import ConfigError
from cvexp.settings import StoreSettings, store_settings
from cvexp.tracking import cached, columns, run_cache
from cvexp.tracking.cached import asked_again, search_cached
from cvexp.tracking.delivery import delivered_now
from cvexp.tracking.figures import add_figures
from cvexp.tracking.queries import search
from cvexp.tracking.rows import Fields
from cvexp.tracking.store import open_store

FIELDS = Fields(but_tags=("mlflow.runName", "mlflow.user", "mlflow.note.content"))
NAN, INF = float("nan"), float("inf")


@pytest.fixture
def store(record, monkeypatch):
    monkeypatch.setattr(run_cache, "MIN_RUNS", 1)
    monkeypatch.delenv(run_cache.VARIABLE, raising=False)
    record("first", figures={"test/accuracy": 0.1, "test/loss": INF})
    record("second", figures={"test/accuracy": NAN}, model="mlp", status="KILLED")
    record("third", figures={"val/accuracy": 0.5}, tags={"cvexp.note": "zwei\nZeilen \u2028"}, lr=0.5)
    return open_store(store_settings(record.uri), create=False)


def plain(runs, *, but=()):
    """Every field of every run, with NaN equal to NaN, without the tags that are not kept."""
    return [
        replace(
            one,
            metrics={key: repr(value) for key, value in sorted(one.metrics.items())},
            tags={key: value for key, value in one.tags.items() if key not in FIELDS.but_tags},
        )
        for one in runs
    ]


def agree(store):
    kept = plain(search_cached(store, FIELDS))
    return kept == plain(search(store, fields=FIELDS)) == plain(search_cached(store, FIELDS))


class Others:
    """What may happen to the runs of a store, by others and by cvexp."""

    def __init__(self, store, record, seed):
        self.store, self.record = store, record
        self.client = MlflowClient(store.settings.tracking_uri)
        self.draw = random.Random(seed)
        self.n = 0

    def ids(self, view=1):
        return sorted(run.info.run_id for run in self.client.search_runs(["0"], run_view_type=view))

    def one(self):
        return self.draw.choice(self.ids())

    def rename(self):
        self.client.update_run(self.one(), name=f"renamed {self.n}")

    def tag(self):
        self.client.set_tag(self.one(), "cvexp.note", f"note {self.n}")

    def untag(self):
        run_id = self.one()
        if "cvexp.device" in self.client.get_run(run_id).data.tags:
            self.client.delete_tag(run_id, "cvexp.device")

    def delete(self):
        if len(self.ids()) > 1:
            self.client.delete_run(self.one())

    def restore(self):
        if deleted := self.ids(view=2):
            self.client.restore_run(self.draw.choice(deleted))

    def add(self):
        self.record(f"new {self.n}", figures={"test/accuracy": self.draw.random()}, lr=0.1 + self.n / 1000)

    def begin(self):
        self.record(f"begun {self.n}", status="RUNNING")

    def foreign(self):
        self.record(f"others {self.n}", tags={"cvexp.version": ""})

    def deliver_late(self):
        """The journal of a run that ended long ago."""
        run = self.client.create_run("0", start_time=1_600_000_000_000, run_name=f"late {self.n}")
        tags = [RunTag("cvexp.version", "0.1.0"), RunTag("cvexp.recipe", "0123456789abcdef")]
        self.client.log_batch(run.info.run_id, metrics=[delivered_now()], tags=tags)
        self.client.set_terminated(run.info.run_id, "FINISHED", end_time=1_600_000_001_000)

    def bench(self):
        runs = [run for run in search(self.store) if run.status == "FINISHED"]
        figures = {"bench/latency_ms": self.draw.random()}
        add_figures(self.store, self.draw.choice(runs), figures, tags={"cvexp.bench": f'{{"threads": {self.n}}}'})

    def resume(self):
        self.client.update_run(self.one(), status="RUNNING")

    def end(self):
        for run in self.client.search_runs(["0"], "attributes.status = 'RUNNING'"):
            self.client.log_batch(run.info.run_id, metrics=[delivered_now()])
            self.client.set_terminated(run.info.run_id, "FINISHED", end_time=1_600_000_002_000)

    def do(self, name):
        self.n += 1
        getattr(self, name)()


EVERYTHING = (
    *("rename", "tag", "add", "delete", "deliver_late", "restore", "bench", "untag", "begin", "resume"),
    *("foreign", "end", "delete", "restore"),
)
SEEN_ON_A_SERVER = tuple(name for name in EVERYTHING if name not in ("rename", "tag", "untag"))


def test_whatever_happens_in_a_local_store_what_is_kept_agrees_with_it(store, record):
    others = Others(store, record, seed=0)
    assert agree(store)
    for name in EVERYTHING:
        others.do(name)
        assert agree(store), name


@pytest.mark.slow
def test_what_cvexp_writes_and_what_is_deleted_is_seen_on_a_server(store, record, monkeypatch):
    others = Others(store, record, seed=1)
    monkeypatch.setattr(StoreSettings, "sqlite_file", property(lambda _: None))  # MLflow's client is asked
    assert agree(store)
    for name in SEEN_ON_A_SERVER:
        others.do(name)
        assert agree(store), name


@pytest.mark.campaign
@pytest.mark.parametrize("server", [False, True])
@pytest.mark.parametrize("seed", range(10))
def test_long_histories_of_a_store(store, record, monkeypatch, seed, server):
    monkeypatch.setattr(run_cache, "MERGED_SHARE", 0.5)
    others = Others(store, record, seed)
    if server:
        monkeypatch.setattr(StoreSettings, "sqlite_file", property(lambda _: None))
    done = []
    for _ in range(60):
        for _ in range(others.draw.randint(1, 4)):
            done.append(others.draw.choice(SEEN_ON_A_SERVER if server else EVERYTHING))
            others.do(done[-1])
        assert agree(store), done


def test_what_others_change_on_a_server_is_seen_where_it_is_asked_again(store, monkeypatch):
    monkeypatch.setattr(StoreSettings, "sqlite_file", property(lambda _: None))
    kept = search_cached(store, FIELDS)
    assert asked_again(store, kept, FIELDS) == {}
    store.client.update_run(kept[0].run_id, name="another")
    store.client.delete_run(kept[1].run_id)
    found = asked_again(store, kept, FIELDS)
    assert {run_id: run and run.name for run_id, run in found.items()} == {
        kept[0].run_id: "another",
        kept[1].run_id: None,
    }


def test_only_what_has_changed_is_read_again(store, record, monkeypatch):
    search_cached(store, FIELDS)
    record("new")
    read = []
    runs_of = cached.local_changes.__globals__["runs_of"]
    monkeypatch.setattr(
        "cvexp.tracking.local_changes.runs_of", lambda *given: read.append(len(given[1])) or runs_of(*given)
    )
    monkeypatch.setattr("cvexp.tracking.local_changes.BLOCK", 1)
    search_cached(store, FIELDS)
    record("newer")
    search_cached(store, FIELDS)
    assert read[-1] == 1


def test_a_file_that_is_damaged_or_of_another_store_or_version_is_not_used(store, tmp_path, monkeypatch):
    search_cached(store, FIELDS)
    assert run_cache.load(store) is not None
    assert run_cache.load(replace(store, experiment_id="7")) is None
    (file,) = tmp_path.rglob(run_cache.LARGE)
    content = file.read_bytes()
    with monkeypatch.context() as later:
        later.setattr(run_cache, "VERSION", 2)
        assert run_cache.load(store) is None
    for damage in (b"", content[: len(content) // 2], content[:200] + b"\0" * 50 + content[250:], b"\x80\x04K\x01."):
        file.write_bytes(damage)
        assert run_cache.load(store) is None
        assert agree(store)


def test_the_cache_can_be_turned_off_and_writes_nothing_then(store, tmp_path, monkeypatch):
    monkeypatch.setenv(run_cache.VARIABLE, "off")
    assert agree(store)
    assert not list(tmp_path.rglob(run_cache.LARGE))
    monkeypatch.setenv(run_cache.VARIABLE, "maybe")
    with pytest.raises(ConfigError, match="expected on or off"):
        search_cached(store, FIELDS)


def test_runs_come_back_from_a_file_as_they_were(store, tmp_path):
    runs = search(store)
    (tmp_path / "runs.npz").write_bytes(columns.encoded(runs, {"a": [1]}))
    found, about = columns.read_columns(tmp_path / "runs.npz")
    assert plain(found) == plain(runs)
    assert about == {"a": [1]}
    (tmp_path / "none.npz").write_bytes(columns.encoded([], {}))
    assert columns.read_columns(tmp_path / "none.npz") == ([], {})


def test_the_small_file_of_one_process_does_not_go_with_the_large_one_of_another(store, record, monkeypatch):
    """One has loaded before, and saves after, the other merged a change and noted a later one."""
    search_cached(store, FIELDS)
    slow = run_cache.load(store)
    monkeypatch.setattr(run_cache, "MERGED_SHARE", 0.0)
    add_figures(store, search(store)[0], {"bench/latency_ms": 0.5})
    assert agree(store)
    monkeypatch.setattr(run_cache, "MERGED_SHARE", 10.0)
    record("new")
    assert agree(store)
    slow.base = ""
    run_cache.save(store, slow)
    assert agree(store)
