"""The exported files of runs that were timed, as entries of a comparison: `tinyvgg · onnx int8`."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.comparison.bench import LONGEST_TAG
from cvexp.results import Metric
from cvexp.runs import BENCH, EXPORTS, NAME_DIGITS, RECIPE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.runs import RunSummary

OF_FILE: dict[str, str] = {
    "accuracy": Metric.TEST_ACCURACY.value,
    "latency_ms": Metric.LATENCY_MS.value,
    "latency_p90_ms": Metric.LATENCY_P90_MS.value,
    "bytes": Metric.BYTES.value,
}
"""The figures that a file has of its own, and the keys under which runs are compared by them."""

OF_RUN = ("time/", "throughput/", "memory/", Metric.PARAMETERS.value)
"""Figures of the training, which a file shares with its run."""

OF_CLASSES = (
    *(Metric.VAL_ACCURACY.value, Metric.VAL_BALANCED_ACCURACY.value, Metric.VAL_MACRO_F1.value),
    *(Metric.TEST_BALANCED_ACCURACY.value, Metric.TEST_MACRO_F1.value),
)
"""Figures that follow from the classes given, which a file shares with its run where it gives the same ones."""

VARIANTS = ("int8", "raw")
MAX_KINDS = 20


def with_exports(runs: Sequence[RunSummary]) -> list[RunSummary]:
    """The runs, each followed by its exported files that were timed."""
    return [entry for run in runs for entry in (run, *_files_of(run))]


def n_exported(runs: Sequence[RunSummary]) -> int:
    """How many of the runs have exported files that were timed."""
    return sum(bool(_timed(run)) for run in runs)


def _files_of(run: RunSummary) -> list[RunSummary]:
    return [_entry(run, kind, conditions) for kind, conditions in _timed(run).items()]


def _timed(run: RunSummary) -> dict[str, Mapping[str, object]]:
    """The conditions of each kind of file that was timed; a store's content is untrusted."""
    text = run.tags.get(EXPORTS, "")
    if not text or len(text) > LONGEST_TAG:
        return {}
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    kinds = list(found.items())[:MAX_KINDS] if isinstance(found, dict) else []
    return {
        kind: one
        for kind, one in kinds
        if isinstance(one, dict) and "threads" in one and f"export/{kind}/latency_ms" in run.metrics
    }


def _entry(run: RunSummary, kind: str, conditions: Mapping[str, object]) -> RunSummary:
    """A file as if it were a run of the same training, with its own accuracy, size and latency."""
    known = run.metrics
    figures = {key: known[own] for name, key in OF_FILE.items() if (own := f"export/{kind}/{name}") in known}
    same_classes = known.get(f"export/{kind}/top1_agreement") == 1
    shared = {key: value for key, value in known.items() if key.startswith(OF_RUN)}
    if same_classes:
        shared |= {key: known[key] for key in OF_CLASSES if key in known}
    label = _label(kind)
    is_named = not run.name.endswith(f"-{run.run_id[:NAME_DIGITS]}")
    return replace(
        run,
        run_id=f"{run.run_id}#{kind}",
        name=f"{run.name} · {label}" if is_named else run.name,
        export=kind,
        params={**run.params, "model": f"{run.params.get('model', '?')} · {label}"},
        metrics={**shared, **figures},
        tags={**run.tags, RECIPE: f"{run.recipe}#{kind}" if run.recipe else "", BENCH: json.dumps(conditions)},
    )


def _label(kind: str) -> str:
    """A kind of file as people read it: `onnx int8`."""
    name, _, variant = kind.rpartition("-")
    return f"{name} {variant}" if variant in VARIANTS else kind
