"""Exported files and results of exports, made up."""

from __future__ import annotations

from pathlib import Path

from cvexp.inference.latency.figures import Measured
from cvexp.inference.latency.times import ModelTimes
from cvexp.jobs.exported import ExportedFile, ExportResult


def times(ms):
    def measured(value):
        return Measured(value=value, low=value, high=value)

    return ModelTimes(
        p50=measured(ms),
        p90=measured(1.1 * ms),
        p95=measured(1.2 * ms),
        p99=None,
        images_per_second=1e3 / ms,
        first_call_ms=ms,
        n_calls=100,
        settled=True,
    )


def file_of(kind, **changes):
    path = Path(f"models/tinyvgg.{kind}")
    known = {
        "format": kind.removesuffix("-int8"),
        "kind": kind,
        "path": path,
        "card": path.with_name(f"{path.name}.json"),
        "n_bytes": 52_320,
        "sha256": "0" * 64,
        "identical": False,
        "max_logit_difference": 9.5e-7,
        "top1_agreement": 1.0,
        "n_ties": 0,
        "accuracy": 0.8718,
        "accuracy_difference": 0.0,
        "accuracy_interval": (-0.0002, 0.0002),
        "passed": True,
        "kept": True,
    }
    return ExportedFile(**{**known, **changes})


def result_of(*files, **changes):
    known = {
        "run_id": "1" * 32,
        "name": "tinyvgg",
        "dataset": "fashion-mnist",
        "accuracy": 0.8718,
        "n_images": 10_000,
        "left_out": (),
        "device": "cpu",
        "device_name": "a CPU",
        "threads": 1,
        "measured_at": "2026-01-01T00:00:00+00:00",
    }
    return ExportResult(files=files, **{**known, **changes})
