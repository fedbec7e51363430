"""Exported files that were timed as entries beside their runs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from cvexp.comparison.analysis import analyse, tables_of
from cvexp.comparison.exports import n_exported, with_exports
from cvexp.comparison.request import Request
from cvexp.errors import ConfigError
from cvexp.runs import BENCH, EXPORTS, RunSummary

CPU = {"device": "cpu", "device_name": "a CPU", "threads": 1, "busy": False}
LATENCY = "bench/latency_ms"


class NoRecords:
    def records(self, *_):
        return None, ""

    def class_names(self, _run):
        return tuple("0123456789")

    def at_epoch(self, runs):
        return list(runs)


def run_of(number, model, *, accuracy=0.9, latency=1.0, seed=42, exports=None, conditions=CPU, **metrics):
    """A run whose files `exports` have an accuracy and a latency each."""
    figures = {"test/accuracy": accuracy, "time/train_seconds": 5.0, "model/bytes": 1000.0, **metrics}
    tags = {"cvexp.recipe": model}
    if latency is not None:
        figures[LATENCY], tags[BENCH] = latency, json.dumps(conditions)
    for kind, (theirs, ms) in (exports or {}).items():
        same = 1.0 if theirs == accuracy else 0.99
        figures |= {f"export/{kind}/accuracy": theirs, f"export/{kind}/latency_ms": ms}
        figures |= {f"export/{kind}/top1_agreement": same, f"export/{kind}/bytes": 500.0}
    if exports:
        tags[EXPORTS] = json.dumps(dict.fromkeys(exports, conditions))
    run_id = f"{number:032x}"
    return RunSummary(
        run_id=run_id,
        name=f"{model}-{run_id[:6]}",
        status="FINISHED",
        experiment_id="1",
        artifacts_uri="",
        started_at=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number),
        params={"model": model, "dataset": "digits", "seed": str(seed)},
        metrics=figures,
        tags=tags,
    )


TINYVGG = run_of(1, "tinyvgg", exports={"onnx": (0.9, 0.1), "onnx-int8": (0.89, 0.05)})
LINEAR = run_of(2, "linear", accuracy=0.8, latency=0.2)


def table_of(*runs, **asked):
    (table,), _ = tables_of(analyse(runs, Request(**asked), NoRecords()))
    return table


def test_files_are_entries_with_their_own_accuracy_size_and_latency_only_when_asked_for():
    assert [group.label for group in table_of(TINYVGG, LINEAR).groups] == ["tinyvgg", "linear"]
    groups = {group.label: group for group in table_of(TINYVGG, LINEAR, exports=True).groups}
    assert list(groups) == ["tinyvgg", "tinyvgg · onnx", "tinyvgg · onnx int8", "linear"]
    onnx, int8 = groups["tinyvgg · onnx"], groups["tinyvgg · onnx int8"]
    assert (onnx.mean("test/accuracy"), onnx.mean(LATENCY), onnx.mean("model/bytes")) == (0.9, 0.1, 500.0)
    assert (int8.mean("test/accuracy"), int8.mean(LATENCY)) == (0.89, 0.05)
    assert onnx.mean("time/train_seconds") == 5.0


def test_they_are_on_the_front_of_accuracy_and_latency_and_beat_their_run():
    front = table_of(TINYVGG, LINEAR, exports=True).front
    assert front.objectives == ("test/accuracy", LATENCY)
    statuses = {label: standing.status for label, standing in front.standings.items()}
    assert statuses["tinyvgg · onnx"] == statuses["tinyvgg · onnx int8"] == "on"
    assert statuses["tinyvgg"] == statuses["linear"] == "undecided"
    assert front.of("tinyvgg").dominated_by == "tinyvgg · onnx"


def test_a_run_that_was_not_timed_is_named_and_the_others_are_placed():
    front = table_of(TINYVGG, run_of(3, "mlp", latency=None), exports=True).front
    assert front.of("tinyvgg · onnx").status == "on"
    assert front.of("mlp").reason == "mlp (no latency ms)"


def test_files_that_were_timed_elsewhere_have_another_letter_and_are_not_ranked_with_these():
    elsewhere = replace(
        TINYVGG, tags={**TINYVGG.tags, EXPORTS: json.dumps({"onnx": {**CPU, "device_name": "another CPU"}})}
    )
    table = table_of(elsewhere, LINEAR, exports=True)
    letters = {group.label: group.bench_conditions for group in table.groups}
    assert letters == {"tinyvgg": "A", "tinyvgg · onnx": "B", "linear": "A"}
    assert table.front.of("tinyvgg").dominated_by == ""
    assert "no other was measured under its conditions" in table.front.of("tinyvgg · onnx").reason


def test_files_of_repeats_are_one_entry_with_an_interval():
    seeds = [
        run_of(n, "tinyvgg", seed=n, accuracy=0.9 + n / 1000, exports={"onnx": (0.9 + n / 1000, 0.1 + n / 100)})
        for n in range(1, 4)
    ]
    groups = {group.label: group for group in table_of(*seeds, exports=True).groups}
    assert {label: group.n for label, group in groups.items()} == {"tinyvgg": 3, "tinyvgg · onnx": 3}
    assert groups["tinyvgg · onnx"].figure(LATENCY).high is not None


def test_verdicts_are_between_runs_alone():
    table = table_of(TINYVGG, LINEAR, exports=True)
    assert {(one.a, one.b) for one in table.verdicts} == {("tinyvgg", "linear")}
    assert table.best == "tinyvgg"


def test_a_file_with_the_same_classes_shares_the_validation_accuracy_and_another_does_not():
    run = run_of(1, "tinyvgg", exports={"onnx": (0.9, 0.1), "onnx-int8": (0.89, 0.05)}, **{"val/accuracy": 0.91})
    _, onnx, int8 = with_exports([run])
    assert onnx.metrics["val/accuracy"] == 0.91
    assert "val/accuracy" not in int8.metrics


@pytest.mark.parametrize(
    "text", ["", "[", "[]", "null", '{"onnx": 1}', '{"onnx": {}}', json.dumps({"x" * 9000: CPU}), "[" * 7000]
)
def test_a_tag_that_cannot_be_read_leaves_the_run_alone(text):
    run = replace(TINYVGG, tags={**TINYVGG.tags, EXPORTS: text})
    assert with_exports([run]) == [run]
    assert n_exported([run]) == 0


def test_a_figure_of_an_epoch_is_no_files():
    with pytest.raises(ConfigError, match="--exports goes without --at 3"):
        Request(exports=True, at="3")
