"""What the run of an exported file gets to know of it."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest

from cvexp.comparison.exports import with_exports
from cvexp.errors import StoreError
from cvexp.jobs.export_figures import log, metrics_of
from cvexp.results import Metric
from cvexp.runs import BENCH, EXPORTS
from cvexp.settings import store_settings
from cvexp.tracking.queries import search
from cvexp.tracking.store import open_store
from tests.exported import file_of, result_of, times

pytestmark = pytest.mark.slow

TIMED = file_of("onnx", latency=times(0.05), load_ms=9.0, peak_bytes=200)


@pytest.fixture
def run(record):
    """A run in a store, as a job has it loaded, and how to read it again."""
    run_id = record("tinyvgg-1", figures={Metric.TEST_ACCURACY.value: 0.8718})
    store = open_store(store_settings(record.uri, "Default"), create=False)

    def stored():
        (found,) = [one for one in search(store) if one.run_id == run_id]
        return found

    return SimpleNamespace(run=stored(), store=store), stored


def test_a_file_has_its_figures_under_its_kind():
    int8 = file_of("onnx-int8", latency=times(0.05), load_ms=9.0, peak_bytes=200)
    assert metrics_of(int8) == pytest.approx(
        {
            "export/onnx-int8/accuracy": 0.8718,
            "export/onnx-int8/top1_agreement": 1.0,
            "export/onnx-int8/max_logit_difference": 9.5e-7,
            "export/onnx-int8/bytes": 52_320,
            "export/onnx-int8/latency_ms": 0.05,
            "export/onnx-int8/latency_p90_ms": 0.055,
            "export/onnx-int8/latency_p95_ms": 0.06,
            "export/onnx-int8/load_ms": 9.0,
            "export/onnx-int8/peak_bytes": 200,
        }
    )
    assert "export/onnx/latency_ms" not in metrics_of(file_of("onnx"))


def test_the_run_gets_the_figures_of_what_is_shipped_and_compare_finds_them(run):
    trained, stored = run
    failed = file_of("torch-export", passed=False, kept=False, reason="it gives 1 image another class")
    log(result_of(TIMED, failed, own_latency=times(0.3)), trained)
    found = stored()
    assert found.metrics["export/onnx/latency_ms"] == 0.05
    assert not [key for key in found.metrics if "torch-export" in key]
    assert found.metrics[Metric.LATENCY_MS] == 0.3
    assert json.loads(found.tags[BENCH])["batch"] == [1]
    conditions = json.loads(found.tags[EXPORTS])
    assert conditions.keys() == {"onnx"}
    assert (conditions["onnx"]["device_name"], conditions["onnx"]["threads"]) == ("a CPU", 1)
    _, entry = with_exports([found])
    assert (entry.metrics[Metric.LATENCY_MS], entry.metrics[Metric.TEST_ACCURACY]) == (0.05, 0.8718)


def test_files_of_before_stay_known_and_a_latency_of_the_bench_stays(run):
    trained, stored = run
    log(result_of(TIMED, own_latency=times(0.3)), trained)
    trained.run = stored()
    log(result_of(replace(TIMED, kind="torch-export"), own_latency=times(0.4)), trained)
    found = stored()
    assert json.loads(found.tags[EXPORTS]).keys() == {"onnx", "torch-export"}
    assert found.metrics[Metric.LATENCY_MS] == 0.3


@pytest.mark.parametrize("text", ["[", "[]", '{"onnx": 1}', "[" * 7000])
def test_a_tag_that_cannot_be_read_is_replaced(run, text):
    trained, stored = run
    trained.run = replace(trained.run, tags={**trained.run.tags, EXPORTS: text})
    log(result_of(TIMED), trained)
    assert json.loads(stored().tags[EXPORTS]).keys() == {"onnx"}


def test_a_run_that_is_not_delivered_yet_gets_none():
    waiting = SimpleNamespace(run=SimpleNamespace(experiment_id=""), store=None)
    with pytest.raises(StoreError, match="still waits to be delivered"):
        log(result_of(TIMED), waiting)
