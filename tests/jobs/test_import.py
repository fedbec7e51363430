from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from cvexp.errors import ConfigError
from cvexp.jobs import import_
from cvexp.jobs.foreign_runs import read_runs
from cvexp.settings import store_settings
from cvexp.tracking.queries import find, search
from cvexp.tracking.store import open_store

CSV = """name,model,dataset,lr,accuracy,train_seconds,latency_ms,params.note
paper,resnet,digits,0.1,0.99,120.5,3.2,"table 3, row 1"
mine,cnn,digits,0.01,0.88,60,1.1,
"""


def written(text, name="runs.csv"):
    Path(name).write_text(text)
    return Path(name)


def test_a_row_is_a_run_with_settings_and_metrics(record):
    import_.run(written(CSV), store_settings(record.uri))
    mine, paper = sorted(search(open_store(store_settings(record.uri), create=False)), key=lambda run: run.name)
    assert paper.params == {"model": "resnet", "dataset": "digits", "lr": "0.1", "note": "table 3, row 1"}
    assert paper.metrics == {"test/accuracy": 0.99, "time/train_seconds": 120.5, "bench/latency_ms": 3.2}
    assert paper.tags["cvexp.imported_from"] == "runs.csv"
    assert "note" not in mine.params


def test_the_same_import_adds_nothing_and_a_longer_file_adds_the_rest(record):
    settings = store_settings(record.uri)
    file = written(CSV)
    first, second = import_.run(file, settings), import_.run(file, settings)
    assert (first.n_known, second.n_known) == (0, 2)
    assert [run_id for run_id, _ in first.runs] == [run_id for run_id, _ in second.runs]
    written(CSV + "third,mlp,digits,0.1,0.5,1,1,\n")
    assert import_.run(file, settings).n_known == 2
    assert len(search(open_store(settings, create=False))) == 3


def test_a_run_that_a_killed_import_began_is_completed(record, monkeypatch):
    settings = store_settings(record.uri)
    with monkeypatch.context() as patched:

        def interrupt(*_, **__):
            raise KeyboardInterrupt

        patched.setattr(MlflowClient, "log_batch", interrupt)
        with pytest.raises(KeyboardInterrupt):
            import_.run(written(CSV), settings)
    import_.run(Path("runs.csv"), settings)
    runs = search(open_store(settings, create=False))
    assert [(run.status, len(run.metrics)) for run in runs] == [("FINISHED", 3)] * 2


def test_no_time_of_an_imported_run_is_ranked_and_none_is_the_best(record, cvexp):
    own = record("own", figures={"test/accuracy": 0.5, "time/train_seconds": 3.0})
    import_.run(written(CSV), store_settings(record.uri))
    shown = cvexp("compare", "--json").document
    keys = [run["comparability_key"] for run in shown["runs"]]
    assert len(set(keys)) == len(keys) == 3
    assert find(open_store(store_settings(record.uri), create=False), "@best").run.run_id == own


def test_json_files_and_folders_are_read(record):
    folder = Path("logs")
    folder.mkdir()
    one = {"name": "one", "params": {"model": "cnn", "width": 64}, "metrics": {"test/accuracy": 0.9, "f1": 0.8}}
    (folder / "one.json").write_text(json.dumps(one | {"started": "2026-03-01T14:30:00", "status": "failed"}))
    (folder / "more.json").write_text(json.dumps([{"model": "mlp", "test_acc": 0.7}]))
    (folder / "more.csv").write_text("model,acc\nlinear,0.6\n")
    (folder / "notes.txt").write_text("not read")
    runs = {run.name or run.params["model"]: run for run in read_runs(folder)}
    assert runs["one"].params == {"model": "cnn", "width": "64"}
    assert runs["one"].metrics == {"test/accuracy": 0.9, "f1": 0.8}
    assert (runs["one"].status, runs["one"].started_ms) == ("FAILED", 1772375400000)
    assert runs["mlp"].metrics == runs["mlp"].metrics | {"test/accuracy": 0.7}
    assert len(runs) == 3


def test_an_old_mlruns_folder_is_read_without_its_deleted_runs(tmp_path):
    for run_id, stage in {"a" * 32: "active", "b" * 32: "deleted"}.items():
        run = tmp_path / "mlruns" / "0" / run_id
        for inner in ("metrics/val", "params", "tags"):
            (run / inner).mkdir(parents=True)
        (run / "meta.yaml").write_text(
            f"run_id: {run_id}\nlifecycle_stage: {stage}\nstatus: 3\nstart_time: 1700000000000\n"
        )
        (run / "metrics/val/accuracy").write_text("1700000000000 0.5 0\n1700000001000 0.75 1\n")
        (run / "params/lr").write_text("0.1")
        (run / "tags/mlflow.runName").write_text("old one")
    (run,) = read_runs(tmp_path / "mlruns")
    assert (run.name, run.started_ms, run.status) == ("old one", 1700000000000, "FINISHED")
    assert run.metrics == {"val/accuracy": 0.75}
    assert run.params == {"lr": "0.1"}


def test_nothing_is_written_where_one_row_is_wrong(record):
    settings = store_settings(record.uri)
    with pytest.raises(ConfigError, match="line 4"):
        import_.run(written(CSV + "third,mlp,digits,0.1,fast,1,1,\n"), settings)
    assert search(open_store(settings, create=False)) == []


def test_a_dry_run_makes_no_store(tmp_path, monkeypatch, cvexp):
    monkeypatch.chdir(tmp_path)
    shown = cvexp("import", str(written(CSV)), "--dry-run")
    assert "2 would be imported" in shown.stdout
    assert [file.name for file in tmp_path.iterdir()] == ["runs.csv"]


BAD = {
    "percent": ("accuracy\n91.2\n", "for example: 0.912"),
    "no number": ("accuracy\nhigh\n", "'high'"),
    "negative seconds": ("accuracy,seconds\n0.5,-1\n", "negative"),
    "unknown column": ("acuracy\n0.5\n", "did you mean 'accuracy'"),
    "column twice": ("accuracy,accuracy\n0.5,0.5\n", "twice"),
    "short row": ("accuracy,model\n0.5\n", "1 values for 2 columns"),
    "no metric": ("model\nmlp\n", "0 metrics"),
    "status": ("accuracy,status\n0.5,DONE\n", "FINISHED, FAILED, KILLED"),
    "time": ("accuracy,started\n0.5,yesterday\n", "'yesterday'"),
    "name": ("accuracy,name\n0.5,@best\n", "@best"),
    "key": ("metrics.a%b\n0.5\n", "a%b"),
    "nothing": ("", "no name"),
    "control characters": ("accuracy,model\n0.5,a\x1b[2J\n", "printable"),
}


@pytest.mark.parametrize(("text", "named"), BAD.values(), ids=list(BAD))
def test_what_cannot_be_meant_is_refused_with_its_place(tmp_path, text, named):
    file = tmp_path / "bad.csv"
    file.write_text(text)
    with pytest.raises(ConfigError) as refused:
        read_runs(file)
    assert named in "\n".join(refused.value.lines())
    assert str(file) in refused.value.what
