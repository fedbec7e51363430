"""Comparisons of real runs: their records and epochs read back, the tag of the front, the pair, groups in Python."""

from __future__ import annotations

import pytest

from cvexp import compare as compare_runs
from cvexp.comparison.analysis import tables_of
from cvexp.settings import store_settings
from cvexp.tracking.publishing import tag_front
from cvexp.tracking.queries import find
from cvexp.tracking.store import open_store
from tests.comparison.made import Reader, analysis_of


def test_two_named_runs_are_compared_image_by_image(cvexp, lab):
    a, b = lab.runs["linear"], lab.runs["mlp"]
    found = cvexp("compare", a.run_name, b.run_name, "--json").document
    pair, (verdict,) = found["pair"], found["verdicts"]
    right_a, right_b = (one.evaluation.metrics.accuracy for one in (a, b))
    assert (pair["a"], pair["b"], pair["n_images"]) == ("linear", "mlp", 360)
    assert len(pair["gained"]) - len(pair["lost"]) == round(360 * (right_b - right_a))
    assert {one["name"] for one in pair["settings"]} >= {"model", "epochs", "seed"}
    assert verdict["verdict"] == "these-two-only"
    assert verdict["low"] <= verdict["difference"] <= verdict["high"]
    shown = cvexp("compare", b.run_name, a.run_name)
    assert "recall of" in shown.stdout
    assert "Of 360 test images, linear gets" in shown.stdout


def test_figures_after_an_epoch_are_read_from_the_history(cvexp, lab):
    run = lab.runs["mlp"]
    first = run.history[0].held_out.metrics.accuracy
    best = max(epoch.held_out.metrics.accuracy for epoch in run.history)
    for at, expected in (("1", first), ("best", best), ("last", run.evaluation.metrics.accuracy)):
        shown = cvexp("compare", run.run_name, "--at", at, "--json")
        (group,) = shown.document["groups"]
        assert group["metrics"]["test/accuracy"]["mean"] == pytest.approx(expected)


def test_an_epoch_that_no_run_has_is_refused(cvexp, lab):
    refused = cvexp("compare", lab.runs["mlp"].run_name, "--at", "99")
    assert refused.code == 2
    assert "epoch 99" in refused.stderr


def test_runs_on_different_test_images_get_no_verdict_and_it_says_so(record, cvexp):
    first = record("a", dataset="digits", figures={"test/accuracy": 0.9})
    second = record("b", dataset="mnist-5k", figures={"test/accuracy": 0.8})
    shown = cvexp("compare", first, second)
    assert shown.code == 0
    assert "different test images" in shown.stderr
    assert cvexp("compare", first, second, "--json").document["verdicts"] == []


def test_runs_of_one_recipe_are_one_row_in_python(record):
    for seed in (1, 2, 3):
        record(f"r-{seed}", seed=seed, figures={"test/accuracy": 0.8 + seed / 100}, tags={"cvexp.recipe": "one"})
    frame = compare_runs(repeats=True)
    assert (frame.index.tolist(), frame["n"].tolist(), frame["seeds"].tolist()) == (["r"], [3], [(1, 2, 3)])
    assert frame.loc["r", "metrics.test/accuracy"] == pytest.approx(0.82)
    assert frame.loc["r", "low.test/accuracy"] < 0.82 < frame.loc["r", "high.test/accuracy"]
    assert len(compare_runs()) == 3


def test_the_tag_of_the_front_says_who_is_better(record):
    for seed in (1, 2, 3):
        figures = {"time/train_seconds": 1 + seed / 1000, "model/bytes": 10.0}
        record(f"good-{seed}", seed=seed, figures={**figures, "test/accuracy": 0.9}, tags={"cvexp.recipe": "good"})
        figures = {"time/train_seconds": 9 + seed / 1000, "model/bytes": 20.0}
        accuracy = 0.5 + seed / 1000
        record(
            f"poor-{seed}",
            seed=seed,
            lr=0.5,
            figures={**figures, "test/accuracy": accuracy},
            tags={"cvexp.recipe": "poor"},
        )
    store = open_store(store_settings(record.uri), create=False)
    runs = [find(store, f"{name}-{seed}").run for name in ("good", "poor") for seed in (1, 2, 3)]
    tables, _ = tables_of(analysis_of(runs, reader=Reader()))
    assert tag_front(store, tables) == 6
    tags = {name: find(store, f"{name}-1").run.tags["cvexp.front"] for name in ("good", "poor")}
    assert tags == {"good": "yes", "poor": "no: beaten by good"}
    again = [find(store, run.run_id).run for run in runs]
    assert tag_front(store, tables_of(analysis_of(again))[0]) == 0
