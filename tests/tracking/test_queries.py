from __future__ import annotations

import os

import pytest

from cvexp.errors import RunError
from cvexp.events import MetricsLogged, RunStarted
from cvexp.settings import store_settings
from cvexp.tracking.histories import history
from cvexp.tracking.journal import Journal
from cvexp.tracking.liveness import process_tags
from cvexp.tracking.local import local_runs
from cvexp.tracking.queries import find, runs_by_experiment, search
from cvexp.tracking.store import open_store


@pytest.fixture
def store(lab):
    return open_store(lab.settings, create=False)


@pytest.mark.parametrize("selector", [lambda r: r.run_id, lambda r: r.run_id[:8], lambda r: r.run_name])
@pytest.mark.parametrize("model", ["linear", "mlp", "tinyvgg"])
def test_a_run_is_found_by_id_prefix_and_name(store, lab, model, selector):
    run = lab.runs[model]
    assert find(store, selector(run)).run.run_id == run.run_id


def test_last_is_the_most_recently_started(store):
    started = {run.run_id: run.started_at for run in search(store, everywhere=True)}  # other tests may have added some
    assert find(store, "@last").run.run_id == max(started, key=started.get)


def test_best_chooses_by_validation_accuracy_where_there_is_any(store, lab):
    chosen = find(store, "@best")
    assert chosen.run.run_id == lab.runs["tinyvgg"].run_id
    assert chosen.note is None


@pytest.mark.parametrize("metric", ["test/loss", "time/train_seconds"])
def test_the_best_loss_or_time_is_the_lowest(store, lab, metric):
    lowest = min(lab.runs.values(), key=lambda r: r.metrics()[metric])
    assert find(store, f"@best:{metric}").run.run_id == lowest.run_id


def test_the_best_accuracy_is_the_highest(store, lab):
    highest = max(lab.runs.values(), key=lambda r: r.metrics()["test/accuracy"])
    assert find(store, "@best:test/accuracy").run.run_id == highest.run_id


@pytest.mark.parametrize(
    "selector", ["@first", "@best:no/such", "nobody", "0123456789", "abc", "a'b\"c", "%", "x' or '1'='1"]
)
def test_what_no_run_answers_to_is_refused(store, selector):
    with pytest.raises(RunError):
        find(store, selector)


def test_search_filters_limits_and_orders(store, lab):
    assert [r.run_id for r in search(store)] == [lab.runs[m].run_id for m in ("tinyvgg", "mlp", "linear")]
    assert [r.run_id for r in search(store, last=1)] == [lab.runs["tinyvgg"].run_id]
    assert [r.run_id for r in search(store, where='params.model = "mlp"')] == [lab.runs["mlp"].run_id]


def test_an_unreadable_filter_is_explained(store):
    with pytest.raises(RunError, match="cannot be read"):
        search(store, where="params.model == ==")


def contents(folder):
    """Every file below the folder: its bytes and when it was written; and every folder."""
    return {
        path.relative_to(folder): (path.read_bytes() if path.is_file() else None, path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def test_queries_write_nothing(record, tmp_path, monkeypatch):
    """Neither where a process died, nor where records wait to be delivered, nor in a read-only folder."""
    dead = {**process_tags(), "cvexp.pid": str(os.getpid() + 10_000_000)}
    gone = record("gone", status="RUNNING", tags=dead, figures={"train/loss": 0.5})
    folder = tmp_path / ".cvexp" / "runs" / gone
    folder.mkdir(parents=True)
    journal = Journal(folder)
    start = RunStarted(model="linear", name="waiting", tags=dead, local_id=gone, store="sqlite:///mlflow.db")
    journal.append(start, key="run", at=5)
    journal.append(MetricsLogged(values={"train/loss": 0.25}, step=1), key="metrics", at=6)
    store = open_store(store_settings(record.uri), create=False)
    find(store, "gone")  # MLflow may complete its own tables when it is first asked
    before = contents(tmp_path)
    for path in (tmp_path / "mlflow.db", folder, tmp_path):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        (run,) = search(store, everywhere=True)
        assert (run.run_id, run.status) == (gone, "KILLED")
        assert find(store, "@last").run == find(store, gone).run == run
        assert runs_by_experiment(store) == {"Default": 1}
        assert [point.value for point in history(store.settings, run)["train/loss"]] == [0.5]
        (waiting,) = local_runs(store.settings)
        assert [point[:2] for point in history(store.settings, waiting)["train/loss"]] == [(1, 0.25)]
        assert contents(tmp_path) == before
    finally:
        tmp_path.chmod(0o755)
        folder.chmod(0o755)
