"""The figures of exported files, logged to the run that they were exported from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from cvexp.errors import StoreError
from cvexp.results import Metric
from cvexp.runs import BENCH, EXPORTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.inference.latency.times import ModelTimes
    from cvexp.jobs.exported import ExportedFile, ExportResult
    from cvexp.jobs.source import TrainedModel


def metrics_of(file: ExportedFile) -> dict[str, float]:
    """The figures of one file under their metric keys: `export/onnx/accuracy`, `export/onnx-int8/latency_ms`."""
    figures = {
        "accuracy": file.accuracy,
        "top1_agreement": file.top1_agreement,
        "max_logit_difference": file.max_logit_difference,
        "bytes": float(file.n_bytes),
    }
    if file.latency is not None:
        figures |= {
            "latency_ms": file.latency.p50.value,
            "latency_p90_ms": file.latency.p90.value,
            "latency_p95_ms": file.latency.p95.value,
        }
    more = {"load_ms": file.load_ms, "peak_bytes": file.peak_bytes}
    figures |= {name: float(value) for name, value in more.items() if value is not None}
    return {f"export/{file.kind}/{name}": value for name, value in figures.items()}


def log(result: ExportResult, trained: TrainedModel) -> None:
    """Add the figures of the files that are shipped to their run, and the latency of its own model if it has none.

    Raises:
        StoreError: They cannot be written.
    """
    from cvexp.tracking.figures import add_figures

    run, store = trained.run, trained.store
    if run is None or store is None or not run.experiment_id:
        raise StoreError("the run itself still waits to be delivered to the tracking store")
    figures: dict[str, float] = {}
    known = _known(run.tags.get(EXPORTS, ""))
    for file in (one for one in result.files if one.kept):
        figures |= metrics_of(file)
        known[file.kind] = {"sha256": file.sha256, **(_conditions(result) if file.latency is not None else {})}
    tags = {EXPORTS: json.dumps(known)}
    if result.own_latency is not None and Metric.LATENCY_MS not in run.metrics:
        figures |= _own_figures(result.own_latency)
        tags[BENCH] = json.dumps({**_conditions(result), "batch": [1]})
    add_figures(store, run, figures, tags=tags)


def _conditions(result: ExportResult) -> dict[str, object]:
    """Under which the files were timed, as `cvexp bench` records them."""
    return {
        "device": result.device,
        "device_name": result.device_name,
        "threads": result.threads,
        "busy": result.busy,
        "measured_at": result.measured_at,
    }


def _own_figures(latency: ModelTimes) -> dict[str, float]:
    return {
        Metric.LATENCY_MS.value: latency.p50.value,
        Metric.LATENCY_P90_MS.value: latency.p90.value,
        Metric.FIRST_CALL_MS.value: latency.first_call_ms,
    }


def _known(text: str) -> dict[str, Mapping[str, object]]:
    """What the tag says of files that were exported before; a store's content is untrusted."""
    try:
        found = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return {str(kind): one for kind, one in found.items() if isinstance(one, dict)} if isinstance(found, dict) else {}
