"""Runs and per-image records made up for tests of comparisons; nothing is stored."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np

from cvexp.comparison.analysis import analyse
from cvexp.comparison.request import Request
from cvexp.image_records import RecordsInfo, from_logits
from cvexp.runs import RunSummary

DIGEST = "0" * 16
CONDITIONS = {"device": "a CPU", "torch": "2.15.0", "dataset": DIGEST, "train_images": 60_000, "step_runner": "eager"}


def run_of(number, *, model="linear", seed=42, accuracy=0.8, seconds=5.0, latency=None, recipe=None, **more):
    """A finished run; `more` are name, status, settings, metrics, tags, busy, conditions, test_set."""
    run_id = f"{number:032x}"
    settings = {"model": model, "dataset": "digits", "seed": str(seed), **more.get("settings", {})}
    metrics = {
        "test/accuracy": accuracy,
        "time/train_seconds": seconds,
        "model/bytes": 4000.0,
        **more.get("metrics", {}),
    }
    tags = {
        "cvexp.version": "1",
        "cvexp.test_set": more.get("test_set", DIGEST),
        "cvexp.conditions": json.dumps(CONDITIONS | more.get("conditions", {})),
        "cvexp.recipe": recipe or f"recipe of {model} {sorted(more.get('settings', {}).items())}",
        **({"cvexp.busy": "load 4"} if more.get("busy") else {}),
        **more.get("tags", {}),
    }
    if latency is not None:
        metrics["bench/latency_ms"] = latency
        tags.setdefault("cvexp.bench", json.dumps({"device": "cpu", "threads": 1, "busy": None}))
    return RunSummary(
        run_id=run_id,
        name=more.get("name", f"{model}-{run_id[:6]}"),
        status=more.get("status", "FINISHED"),
        experiment_id="0",
        artifacts_uri="",
        started_at=datetime.fromtimestamp(number, tz=UTC),
        params=settings,
        metrics={key: value for key, value in metrics.items() if value is not None},
        tags=tags,
    )


def repeats_of(start, accuracies, **more):
    """A run for each accuracy, with seeds from 0 on."""
    return [run_of(start + seed, seed=seed, accuracy=one, **more) for seed, one in enumerate(accuracies)]


def records_of(correct, *, n_classes=10, order="o" * 64, labels=None):
    """Records of images of which `correct` says whether they are classified so."""
    labels = np.arange(len(correct), dtype=np.int64) % n_classes if labels is None else labels
    predicted = np.where(correct, labels, (labels + 1) % n_classes)
    logits = np.zeros((n_classes, len(correct)), np.float32)
    logits[predicted, np.arange(len(correct))] = 3
    about = RecordsInfo(
        data_digest=DIGEST, test_set=DIGEST, split="test", split_seed=42, order_digest=order, n_classes=n_classes
    )
    return from_logits(logits, labels, predicted, about)


class Reader:
    """Gives records by run id; see cvexp.comparison.evidence.Reader."""

    def __init__(self, records=(), *, n_classes=10):
        self.given, self.asked = dict(records), []
        self._names = tuple(f"class {k}" for k in range(n_classes))

    def records(self, run, split):
        self.asked.append((run.run_id, split))
        found = self.given.get(run.run_id)
        return (None, found) if isinstance(found, str) else (found, "")

    def class_names(self, _run):
        return self._names

    def at_epoch(self, runs):
        return list(runs)


def analysis_of(runs, *, reader=None, **asked):
    """The runs as they are analysed without a store."""
    return analyse(runs, Request(**asked), reader or Reader())
