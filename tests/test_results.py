from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cvexp.config import RunConfig
from cvexp.results import (
    EpochMetrics,
    EpochTiming,
    Evaluation,
    Metric,
    ModelSize,
    SplitMetrics,
    Timing,
    TrainResult,
    higher_is_better,
)

TIMING = Timing(
    setup_seconds=1.0,
    first_step_seconds=0.5,
    train_seconds=6.0,
    evaluate_seconds=2.0,
    tracking_seconds=0.25,
    total_seconds=9.75,
)


def evaluation(loss, accuracy):
    return Evaluation(
        metrics=SplitMetrics(loss=loss, accuracy=accuracy, n_images=4, balanced_accuracy=0.5, macro_f1=0.25),
        per_class=(),
        confusion=np.zeros((2, 2), np.int64),
        predictions=np.zeros(4, np.int64),
    )


def epoch(number, name, loss):
    return EpochMetrics(
        epoch=number,
        train=SplitMetrics(loss=0.75, accuracy=0.5, n_images=12),
        step_losses=np.full(3, 0.75, np.float32),
        held_out=evaluation(loss, 0.25),
        held_out_name=name,
        timing=EpochTiming(train_seconds=3.0, evaluate_seconds=1.0, first_step_seconds=0.5),
    )


@pytest.mark.parametrize("metric", list(Metric))
def test_accuracies_and_throughputs_should_rise_and_the_rest_should_fall(metric):
    rising = {"train/accuracy", "val/accuracy", "test/accuracy", "throughput/images_per_second"}
    rising |= {"bench/images_per_second"}
    rising |= {f"{split}/{name}" for split in ("val", "test") for name in ("balanced_accuracy", "macro_f1")}
    assert higher_is_better(metric) is (metric.value in rising)


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_a_splits_figures_lie_under_its_own_keys(split):
    keyed = SplitMetrics(loss=0.5, accuracy=0.75, n_images=8).keyed(split)
    assert keyed == {f"{split}/loss": 0.5, f"{split}/accuracy": 0.75}
    assert set(keyed) <= set(Metric)


def test_figures_over_classes_lie_there_where_they_were_counted():
    counted = SplitMetrics(loss=0.5, accuracy=0.75, n_images=8, balanced_accuracy=0.6, macro_f1=0.7).keyed("test")
    assert (counted["test/balanced_accuracy"], counted["test/macro_f1"]) == (0.6, 0.7)
    assert set(counted) <= set(Metric)


@pytest.mark.parametrize("name", ["val", "test"])
def test_an_epoch_logs_its_figures_its_seconds_and_its_throughput(name):
    assert epoch(1, name, 0.5).keyed() == {
        "train/loss": 0.75,
        "train/accuracy": 0.5,
        f"{name}/loss": 0.5,
        f"{name}/accuracy": 0.25,
        f"{name}/balanced_accuracy": 0.5,
        f"{name}/macro_f1": 0.25,
        "time/epoch_seconds": 4.0,
        "throughput/images_per_second": 4.0,
    }


def test_timings_and_sizes_lie_under_keys_that_are_defined():
    assert TIMING.keyed()["time/train_seconds"] == 6.0
    size = ModelSize(parameters=3, trainable_parameters=3, bytes=12)
    assert size.keyed() == {"model/parameters": 3.0, "model/bytes": 12.0}
    frozen = replace(size, trainable_parameters=1).keyed()
    assert frozen["model/trainable_parameters"] == 1.0
    assert {*TIMING.keyed(), *frozen} <= set(Metric)


def test_a_run_reports_its_last_epoch_and_its_final_evaluation():
    result = TrainResult(
        run_id="1",
        run_name="one",
        experiment_id="0",
        tracking_uri="sqlite:///x.db",
        status="FINISHED",
        config=RunConfig(model="mlp"),
        device="cpu",
        device_name="a CPU",
        class_names=("a", "b"),
        history=(epoch(1, "test", 0.9), epoch(2, "test", 0.8)),
        evaluation=evaluation(0.7, 0.875),
        timing=TIMING,
        size=ModelSize(parameters=3, trainable_parameters=3, bytes=12),
        artifacts_uri="here",
        figures={"time/epoch_seconds_median": 4.0, "time/waited_share": 0.0, "memory/process_peak_bytes": 9.0},
    )
    measured_of_some = {"val/loss", "val/accuracy", "val/balanced_accuracy", "val/macro_f1"}
    measured_of_some |= {"step/train_loss", "optimizer/lr"}
    measured_of_some |= {"memory/device_peak_bytes", "time/to_accuracy"}
    measured_of_some |= {"model/trainable_parameters"}
    benched = {metric for metric in Metric if metric.startswith("bench/")}
    assert set(result.metrics()) == set(Metric) - measured_of_some - benched
    assert result.metrics()["test/loss"] == 0.7
    assert result.metrics()["test/accuracy"] == 0.875
