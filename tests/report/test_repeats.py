"""What is printed of repeats: a row a seed, the mean with its interval, and the JSON contract."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from cvexp.config import run_config
from cvexp.config.experiment import PlannedRun
from cvexp.jobs.plan import Step
from cvexp.jobs.repeats import Repeat, Repeats
from cvexp.jobs.summary import summary
from cvexp.report import repeats as report
from cvexp.report import train as report_train
from cvexp.results import Metric
from cvexp.runs import RunSummary


def stored(seed, accuracy):
    """A finished run as the store has it."""
    return RunSummary(
        run_id=f"{seed:032x}",
        name=f"tinyvgg-{seed:06x}",
        status="FINISHED",
        experiment_id="0",
        artifacts_uri="mlruns/0/a",
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
        params={"model": "tinyvgg", "dataset": "digits", "epochs": "3", "seed": str(seed)},
        metrics={Metric.TEST_ACCURACY: accuracy, Metric.TEST_LOSS: 1 - accuracy, Metric.TRAIN_SECONDS: 100 * accuracy},
        tags={"cvexp.device": "cpu", "cvexp.device_name": "a CPU"},
    )


def found(*accuracies, collapsed=()):
    runs = [
        Repeat(
            seed=seed,
            run=stored(seed, accuracy),
            trained_now=False,
            history={1: {"train/loss": 0.5}, 2: {"train/loss": 0.25}},
        )
        for seed, accuracy in enumerate(accuracies, 42)
    ]
    over = summary([one.metrics for one in runs], withheld=("test/",) if collapsed else ())
    config = run_config({"model": "tinyvgg", "dataset": "digits"})
    return Repeats(recipe="ab" * 8, config=config, runs=tuple(runs), summary=over, collapsed=collapsed, trouble="")


@pytest.mark.parametrize(("balanced", "shown"), [(0.8, True), (0.902, False)])
def test_balanced_accuracy_is_a_column_where_it_says_something_else(capsys, balanced, shown):
    result = found(0.9, 0.9)
    for one in result.runs:
        one.run.metrics[Metric.TEST_BALANCED_ACCURACY] = balanced
    over = summary([one.metrics for one in result.runs])
    assert ("balanced" in printed(capsys, replace(result, summary=over)).out) == shown


def printed(capsys, result):
    report.show(result)
    return capsys.readouterr()


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_a_row_a_seed_and_the_mean_with_its_interval(capsys, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    shown = printed(capsys, found(0.9, 0.92, 0.94))
    assert max(map(len, shown.out.splitlines())) <= int(columns)
    if columns == "60":
        return
    assert "42   tinyvgg-00002a" in shown.out
    assert "92.00 ± 2.00%" in shown.out
    assert "87.03 to 96.97%" in shown.out
    assert "all of them were trained already" in shown.err


def test_where_a_seed_collapsed_the_interval_is_withheld(capsys):
    shown = printed(capsys, found(0.9, 0.1, collapsed=(43,)))
    assert "tinyvgg-00002b (collapsed)" in shown.out
    assert "withheld" in shown.out
    assert "1 of 2 collapsed" in shown.err


def test_the_verdict_stands_below_the_means_and_not_in_the_json(capsys):
    judged = replace(found(0.9, 0.92, 0.94), verdict="This one is better than that one.")
    shown = printed(capsys, judged)
    assert shown.out.splitlines()[-1] == "This one is better than that one."
    assert report.document(judged).keys() == {"recipe", "runs", "summary", "collapsed_seeds"}


def test_one_seed_has_no_spread(capsys):
    shown = printed(capsys, found(0.9))
    assert "±" not in shown.out
    assert "one seed" in shown.err


def test_the_document_follows_the_contract():
    made = report.document(found(0.9, 0.92))
    assert {"recipe", "runs", "summary"} <= made.keys()
    assert made["summary"][Metric.TEST_ACCURACY].keys() == {"mean", "std", "low", "high", "n"}
    first = made["runs"][0]
    assert (first["seed"], first["epochs"], first["trained_now"], first["undelivered"]) == (42, 3, False, 0)
    assert first["history"] == [{"epoch": 1, "train/loss": 0.5}, {"epoch": 2, "train/loss": 0.25}]


def test_a_run_that_was_found_has_the_keys_of_one_that_was_trained(lab):
    of_training = report_train.document(lab.runs["linear"])
    assert report.document(found(0.9))["runs"][0].keys() - {"trained_now"} == of_training.keys()


def test_a_run_that_is_trained_already_is_one_line(capsys):
    config = run_config({"model": "tinyvgg", "dataset": "digits", "seed": 43})
    step = Step(planned=PlannedRun(config=config), recipe="a", done=stored(43, 0.9))
    report.PlanConsole([step, step]).skipped(step)
    assert capsys.readouterr().err == ("1/2  seed 43  tinyvgg-00002b  test loss 0.10000 acc 90.00%  trained already\n")
