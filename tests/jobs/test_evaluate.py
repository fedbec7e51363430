"""What `evaluate` says besides the figures: calibration, top-k, label errors, and adding records to a run."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cvexp.image_records import read_records, write_records
from cvexp.tracking.artifacts import local_path


def records_of(run):
    return local_path(run.artifacts_uri) / "records"


@pytest.fixture
def copied(lab, tmp_path, monkeypatch):
    """The lab's store in a folder of its own, so that its runs may be changed."""
    shutil.copytree(lab.folder, tmp_path / "lab")
    monkeypatch.chdir(tmp_path / "lab")
    with sqlite3.connect("mlflow.db") as database:
        there = str(lab.folder), str(tmp_path / "lab")
        database.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", there)
    database.close()
    return lambda name: tmp_path / "lab" / records_of(lab.runs[name]).relative_to(lab.folder)


@pytest.mark.parametrize("name", ["linear", "mlp", "tinyvgg"])
def test_a_training_stores_the_records_of_its_final_weights(name, lab):
    run = lab.runs[name]
    test = read_records(records_of(run) / "test.parquet")
    assert test.correct.mean() == run.evaluation.metrics.accuracy
    assert np.array_equal(test.predicted, run.evaluation.predictions)
    assert test.log_loss.mean() == pytest.approx(run.evaluation.metrics.loss, abs=1e-4)
    assert (test.about.split, test.about.n_classes, len(test)) == ("test", 10, 360)
    val = records_of(run) / "val.parquet"
    assert val.exists() == (name == "tinyvgg")
    if val.exists():
        found, last = read_records(val), run.history[-1].held_out
        assert np.array_equal(found.predicted, last.predictions)
        assert found.log_loss.mean() == pytest.approx(last.metrics.loss, abs=1e-4)
        assert (found.about.split, len(found)) == ("val", 288)


def test_a_run_without_its_last_logits_stores_the_same_records(tmp_path):
    from cvexp.config import run_config
    from cvexp.training.artifacts import write_records as write
    from cvexp.training.session import prepare

    prepared = prepare(
        run_config({"model": "mlp", "dataset": "digits", "epochs": 1, "device": "cpu", "val_split": 0.2}), tmp_path
    )
    fit = prepared.fit()
    assert fit.held_out_logits is None
    list(fit)
    batches = []
    for folder, known in (("kept", {"val": fit.held_out_logits}), ("again", {"val": None})):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder, prepared, known, ("val", "test"), after_batch=lambda: batches.append(1))
    for name in ("val.parquet", "test.parquet"):
        assert (tmp_path / "kept" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert len(batches) == 3  # the kept logits were not calculated again


def test_evaluate_says_how_far_probabilities_can_be_trusted(lab, cvexp, monkeypatch):
    before = {path: path.stat().st_mtime_ns for path in records_of(lab.runs["linear"]).parent.rglob("*")}
    shown = cvexp("evaluate", lab.runs["linear"].run_name, "--device", "cpu", "--json")
    assert shown.code == 0, shown.stderr
    document, stored = shown.document, read_records(records_of(lab.runs["linear"]) / "test.parquet")
    assert set(document["top_k"]) == {"3", "5"}
    assert 0 < document["metrics"]["test/accuracy"] < document["top_k"]["3"] < document["top_k"]["5"] < 1
    assert document["brier"] == pytest.approx(stored.brier.mean(), abs=1e-6)
    assert document["log_loss"] == document["metrics"]["test/loss"]
    calibration = document["calibration"]
    assert calibration["n_bins"] == len(calibration["bins"]) == 15
    assert calibration["low"] <= calibration["error"] <= calibration["high"]
    assert sum(one["n_images"] for one in calibration["bins"]) == 360
    assert (document["stored"], document["reliability"], document["label_errors"]) == (None, None, None)
    monkeypatch.setenv("COLUMNS", "80")
    printed = cvexp("evaluate", lab.runs["linear"].run_name, "--device", "cpu")
    assert "15 equal-mass bins" in printed.stdout
    about_probabilities = [line for line in printed.stdout.splitlines() if line.startswith(("top-3", "ECE"))]
    assert len(about_probabilities) == 2
    assert max(map(len, about_probabilities)) <= 80
    assert {path: path.stat().st_mtime_ns for path in records_of(lab.runs["linear"]).parent.rglob("*")} == before


def test_pictures_and_the_list_of_label_errors_are_written_where_they_are_asked_for(lab, cvexp, tmp_path):
    name = lab.runs["mlp"].run_name
    found = cvexp(
        *("evaluate", name, "--device", "cpu", "--json", "--reliability", f"{tmp_path}/r.png"),
        *("--label-errors", "4", "--grid", f"{tmp_path}/errors.png"),
    )
    assert found.code == 0, found.stderr
    document = found.document
    assert (document["reliability"], document["label_errors"]["picture"]) == (
        f"{tmp_path}/r.png",
        f"{tmp_path}/errors.png",
    )
    for picture in ("r.png", "errors.png"):
        assert min(Image.open(tmp_path / picture).size) > 300
    with (tmp_path / "errors.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    errors = document["label_errors"]
    assert errors["n_candidates"] == len(rows) > 4
    assert [int(row["test_index"]) for row in rows[:4]] == [one["image"] for one in errors["shown"]]
    assert all(row["label"] != row["predicted"] for row in rows)


@pytest.mark.slow
def test_several_runs_have_to_agree_on_label_errors(lab, cvexp, tmp_path):
    names = [lab.runs[name].run_name for name in ("linear", "mlp")]
    options = ("--device", "cpu", "--json", "--label-errors", "100", "--grid", f"{tmp_path}/e.png")
    alone, both = (cvexp("evaluate", names[0], *options, *extra) for extra in ((), ("--with", names[1])))
    assert (alone.code, both.code) == (0, 0), both.stderr
    assert both.document["label_errors"]["models"] == names
    assert both.document["label_errors"]["n_candidates"] < alone.document["label_errors"]["n_candidates"]


def test_records_that_are_missing_or_damaged_are_added_and_others_left(copied, lab, cvexp):
    run, folder = lab.runs["tinyvgg"], copied("tinyvgg")
    expected = {name: read_records(folder / f"{name}.parquet") for name in ("val", "test")}
    shutil.rmtree(folder)
    missing = cvexp("evaluate", lab.runs["linear"].run_name, "--label-errors", "3", "--with", run.run_name)
    assert missing.code == 2
    assert f"cvexp evaluate {run.run_name} --store" in missing.stderr
    added = cvexp("evaluate", run.run_name, "--device", "cpu", "--store")
    assert added.code == 0, added.stderr
    assert "added to the run: records/val.parquet, records/test.parquet" in added.stdout
    for name, records in expected.items():
        read = read_records(folder / f"{name}.parquet")
        assert read.about == records.about
        assert np.array_equal(read.predicted, records.predicted)
        assert read.log_loss == pytest.approx(records.log_loss, abs=2e-3)
    again = cvexp("evaluate", run.run_name, "--device", "cpu", "--store", "--json")
    assert again.document["stored"] == []
    (folder / "val.parquet").write_bytes(b"PAR1")
    repaired = cvexp("evaluate", run.run_name, "--device", "cpu", "--store", "--json")
    assert repaired.document["stored"] == ["val"]
    assert len(read_records(folder / "val.parquet")) == 288


def test_nothing_is_stored_where_the_figures_are_not_the_logged_ones(copied, lab, cvexp):
    run, folder = lab.runs["linear"], copied("linear")
    shutil.rmtree(folder)
    with sqlite3.connect("mlflow.db") as database:
        for table in ("metrics", "latest_metrics"):
            database.execute(
                f"UPDATE {table} SET value = 0.1 WHERE key = 'test/accuracy' AND run_uuid = ?",  # noqa: S608 - ours
                (run.run_id,),
            )
    database.close()
    refused = cvexp("evaluate", run.run_name, "--device", "cpu", "--store")
    assert refused.code == 4
    assert not folder.exists()


def test_records_are_not_written_through_a_link(copied, lab, cvexp, tmp_path):
    run, folder = lab.runs["linear"], copied("linear")
    shutil.rmtree(folder)
    (tmp_path / "elsewhere").mkdir()
    folder.symlink_to(tmp_path / "elsewhere")
    refused = cvexp("evaluate", run.run_name, "--device", "cpu", "--store")
    assert refused.code == 2
    assert "symbolic link" in refused.stderr
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_records_of_other_test_images_are_not_joined(copied, lab, cvexp):
    run, folder = lab.runs["mlp"], copied("mlp")
    found = read_records(folder / "test.parquet")
    other = replace(found, about=replace(found.about, order_digest="f" * 64))
    write_records(folder / "test.parquet", other)
    refused = cvexp("evaluate", lab.runs["linear"].run_name, "--label-errors", "3", "--with", run.run_name)
    assert refused.code == 2
    assert "other test images" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--with", "mlp"), "--with names runs for --label-errors"),
        (("--store", "--dataset", "digits"), "--store goes without --dataset"),
        (("--label-errors", "0"), "0"),
        (("--label-errors", "3", "--grid", "nowhere/e.png"), "cannot draw to nowhere/e.png"),
        (("--reliability", "r.txt"), "cannot draw to r.txt"),
        (("--label-errors", "3", "--with", "nothing"), "nothing"),
    ],
)
def test_wrong_uses_are_refused_in_three_lines(words, said, lab, cvexp):
    refused = cvexp("evaluate", lab.runs["linear"].run_name, *words)
    assert refused.code == 2
    assert said in refused.stderr
    assert len(refused.stderr.strip().splitlines()) <= 3
    assert not Path("label_errors.png").exists()


def test_a_file_has_no_records_to_add(lab, cvexp, tmp_path):
    file = tmp_path / "m.pt"
    assert cvexp("export", lab.runs["linear"].run_name, "--out", str(file)).code == 0
    refused = cvexp("evaluate", str(file), "--store")
    assert (refused.code, "adds files to a run" in refused.stderr) == (2, True)
    assert json.loads(cvexp("evaluate", str(file), "--device", "cpu", "--json").stdout)["calibration"]["error"] > 0
