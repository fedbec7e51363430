"""Which models and costs a picture shows, and who is marked as on the front."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from cvexp.comparison.groups import Group
from cvexp.comparison.tables import Front, Table
from cvexp.jobs.drawing import MAX_CONDITIONS, charts_of
from cvexp.runs import RunSummary
from cvexp.stats import Arm

CONDITIONS = {
    "device": "a CPU",
    "threads": "2",
    "batch_size": 32,
    "epochs": 3,
    "train_images": 60000,
    "torch": "2.15.0",
    "step_runner": "captured",
}
BENCH = {"device": "cpu", "device_name": "another CPU", "threads": 1, "busy": ""}


def group(label, accuracies, seconds=10.0, latency=None, **facts):
    """A model with a run for each accuracy; its times are alike, but not equal."""
    runs = []
    for seed, accuracy in enumerate(accuracies):
        metrics = {"test/accuracy": accuracy, "time/train_seconds": seconds * (1 + seed / 1000), "model/bytes": 400.0}
        if latency is not None:
            metrics["bench/latency_ms"] = latency * (1 + seed / 1000)
        runs.append(
            RunSummary(
                run_id=f"{label}{seed}",
                name=f"{label}-{seed}",
                status="FINISHED",
                experiment_id="0",
                artifacts_uri="",
                started_at=datetime.fromtimestamp(seed, tz=UTC),
                params={"seed": str(seed)},
                metrics=metrics,
                tags={"cvexp.conditions": json.dumps(CONDITIONS), "cvexp.bench": json.dumps(BENCH)},
            )
        )
    runs = tuple(runs)
    benched = runs if latency is not None else ()
    return Group(
        **{"recipe": label, "runs": runs, "label": label, "timed": runs, "benched": benched, "conditions": "a"} | facts
    )


def table(*groups, test_set="digits", objectives=("test/accuracy", "time/train_seconds"), n_left_out=0):
    arms = {}
    for one in groups:
        accuracies = [run.metrics["test/accuracy"] for run in one.runs]
        if np.isfinite(accuracies).all():
            arms[one.label] = Arm(name=one.label, accuracies=accuracies, seeds=list(range(len(accuracies))))
    front = Front(objectives=objectives, standings={})
    return Table(test_set=test_set, groups=groups, n_left_out=n_left_out, best="", front=front, arms=arms)


def charts(*tables):
    return charts_of(tables)


GOOD, BAD = (0.900, 0.902, 0.901), (0.700, 0.702, 0.701)


def test_a_point_is_a_mean_over_seeds_with_its_interval_and_its_place():
    (chart,), notes = charts(table(group("slow and bad", BAD, 50.0), group("good", GOOD, 10.0, latency=0.2)))
    assert notes == ()
    assert [score.label for score in chart.scores] == ["good", "slow and bad"]
    assert chart.scores[0].accuracy == pytest.approx(0.901)
    assert chart.scores[0].low < 0.9 < chart.scores[0].high
    time, latency = chart.panels
    assert [(point.score, point.status) for point in time.points] == [(0, "on"), (1, "off")]
    assert time.points[0].low < time.points[0].cost < time.points[0].high
    assert [point.score for point in latency.points] == [0]
    assert (
        time.conditions
        == "Trained on a CPU, threads 2, batch 32, 3 epochs, 60,000 images, torch 2.15.0, captured steps."
    )
    assert latency.conditions == "Measured on another CPU, 1 thread, one image at a time."


def test_times_under_other_conditions_are_in_another_panel():
    groups = [group(f"model {letter}", GOOD, conditions=letter) for letter in "aabcdef"]
    groups = [group(f"{one.label} {k}", GOOD, conditions=one.conditions) for k, one in enumerate(groups)]
    (chart,), _ = charts(table(*groups))
    assert len(chart.panels) == MAX_CONDITIONS
    assert chart.panels[0].title == "Accuracy against training time, conditions a"
    assert sorted(point.score for panel in chart.panels for point in panel.points) == [0, 1, 2, 3, 4]


def test_times_from_a_busy_machine_are_drawn_as_not_ranked():
    (chart,), _ = charts(table(group("busy", GOOD, busy=True), group("quiet", BAD), group("quiet too", GOOD, 20.0)))
    statuses = {chart.scores[point.score].label: point.status for point in chart.panels[0].points}
    assert statuses["busy"] == "unplaced"
    assert "unplaced" not in (statuses["quiet"], statuses["quiet too"])


def test_a_group_with_a_collapsed_seed_has_no_interval_and_says_so():
    (chart,), _ = charts(table(group("collapsed", (0.9, 0.9, 0.1), n_collapsed=1)))
    (score,) = chart.scores
    assert (score.low, score.high, score.note) == (None, None, "1 of 3 collapsed")


@pytest.mark.parametrize("cost", [float("nan"), float("inf"), 0.0, -1.0])
def test_what_is_no_cost_is_not_drawn(cost):
    (chart,), _ = charts(table(group("odd", GOOD, cost), group("good", GOOD)))
    assert [chart.scores[point.score].label for panel in chart.panels for point in panel.points] == ["good"]
    assert len(chart.scores) == 2


def test_models_without_a_finite_accuracy_are_not_drawn():
    assert charts(table(group("broken", (float("nan"),)))) == ([], ())


def test_further_objectives_of_the_front_have_a_panel():
    (chart,), _ = charts(table(group("good", GOOD), objectives=("test/accuracy", "model/bytes")))
    assert [panel.title for panel in chart.panels] == ["Accuracy against training time", "Accuracy against bytes"]


def test_what_is_left_out_is_said():
    many = [table(*(group(f"m{k}", GOOD) for k in range(9)), test_set=f"set {n}", n_left_out=5) for n in range(10)]
    found, notes = charts(*many)
    assert len(found) == 8
    assert [chart.title for chart in found] == [f"set {n}" for n in range(8)]
    assert "8 of 10 test sets" in notes[0]
    assert "40 of 112 models" in notes[1]
