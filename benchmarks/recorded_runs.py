"""Stores of many runs, written straight into the tables that MLflow made: what `cvexp train` records, no training.

A run has the rows that a training of three epochs leaves and that MLflow reads when it searches: 48 parameters, 28
tags, 21 latest figures with 31 points, its dataset and its model. Five seeds a recipe, three models, one dataset. Rows
of logged models themselves are left out: no search reads them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import json
import random
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cvexp.settings import StoreSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

N_SEEDS = 5
N_RATES = 4000
CHUNK = 2000
START = 1_700_000_000_000  # milliseconds since 1970; a run begins every ten seconds
SECONDS_APART = 10
CLASSES = ("linear", "mlp", "tinyvgg")

COLUMNS = {
    "runs": (
        "run_uuid", "name", "source_type", "user_id", "status", "start_time", "end_time", "lifecycle_stage",
        "artifact_uri", "experiment_id",
    ),
    "params": ("key", "value", "run_uuid"),
    "tags": ("key", "value", "run_uuid"),
    "latest_metrics": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
    "metrics": ("key", "value", "timestamp", "step", "is_nan", "run_uuid"),
    "inputs": ("input_uuid", "source_type", "source_id", "destination_type", "destination_id", "step"),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, slots=True)
class Filled:
    """The id and the name of a run in the middle of a store."""

    run_id: str
    name: str


def fill(tracking_uri: str, artifacts: Path, n_runs: int, *, first: int = 0) -> Filled:
    """Write finished runs number `first` and up into an SQLite or PostgreSQL store, whose schema MLflow makes."""
    from mlflow import MlflowClient

    MlflowClient(tracking_uri).search_experiments()
    middle = Filled(run_id="", name="")
    with _written(tracking_uri) as write:
        runs = _runs(artifacts, first, n_runs)
        for chunk in iter(lambda: list(itertools.islice(runs, CHUNK)), []):
            for table in COLUMNS:
                write(table, [row for run in chunk for row in run[table]])
            run_id, name = chunk[len(chunk) // 2]["runs"][0][:2]
            middle = Filled(run_id=run_id, name=name)
    return middle


@contextlib.contextmanager
def _written(tracking_uri: str) -> Iterator[Any]:
    """What writes rows to a table: in one transaction, by the fastest way of the database."""
    if (file := StoreSettings(tracking_uri=tracking_uri).sqlite_file) is not None:
        with contextlib.closing(sqlite3.connect(file)) as database, database:
            database.execute("PRAGMA cache_size = -1000000")
            yield lambda table, rows: database.executemany(_insert(table), rows)
        return
    import psycopg2

    address = tracking_uri.replace("+psycopg2", "")
    with contextlib.closing(psycopg2.connect(address)) as database, database, database.cursor() as cursor:
        yield lambda table, rows: _copy(cursor, table, rows)


def _insert(table: str) -> str:
    names = COLUMNS[table]
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})"  # noqa: S608 - our own


def _copy(cursor: Any, table: str, rows: Iterable[Sequence[object]]) -> None:
    """PostgreSQL's COPY in its text format."""
    escapes = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
    text = "".join("\t".join(str(cell).translate(escapes) for cell in row) + "\n" for row in rows)
    cursor.copy_expert(f"COPY {table} ({', '.join(COLUMNS[table])}) FROM STDIN", io.StringIO(text))


def _runs(artifacts: Path, first: int, n_runs: int) -> Iterator[dict[str, list[tuple[object, ...]]]]:
    """The rows of each run by table."""
    from cvexp.comparability import images_key
    from cvexp.config import run_config

    draw = random.Random(first)  # noqa: S311 - synthetic figures
    data = hashlib.sha256(b"digits").hexdigest()[:16]
    defaults = run_config({"model": "linear", "dataset": "digits", "epochs": 3, "val_split": 0.1}).params()
    for n in range(first, first + n_runs):
        recipe, seed = divmod(n, N_SEEDS)
        run_id, model = f"{draw.getrandbits(128):032x}", CLASSES[recipe % len(CLASSES)]
        name, started = f"{model}-{run_id[:6]}", START + n * SECONDS_APART * 1000
        ended = started + 9_000
        params = defaults | {"model": model, "seed": str(seed), "lr": f"{0.0001 * (1 + recipe % N_RATES):g}"}
        tags = _tags(n, run_id, name, data=data, recipe=recipe) | {images_key(data, params): "digits"}
        latest, points = _figures(draw, ended)
        uri = f"{artifacts}/mlruns/0/{run_id}/artifacts"
        yield {
            "runs": [(run_id, name, "LOCAL", "someone", "FINISHED", started, ended, "active", uri, 0)],
            "params": [(key, value, run_id) for key, value in params.items()],
            "tags": [(key, value, run_id) for key, value in tags.items()],
            "latest_metrics": [(*figure, run_id) for figure in latest],
            "metrics": [(*figure, run_id) for figure in points],
            "inputs": [
                (f"{n:032x}", "DATASET", data, "RUN", run_id, 0),
                (f"m{n:031x}", "RUN_OUTPUT", run_id, "MODEL_OUTPUT", f"m-{run_id}", 0),
            ],
        }


def _figures(draw: random.Random, ended: int) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """The last values of a run's metrics and all of their points: key, value, timestamp, step, whether NaN."""
    from cvexp.results import Metric
    from cvexp.tracking.delivery import DELIVERED

    by_epoch = ("train/loss", "train/accuracy", "val/loss", "val/accuracy", "time/epoch_seconds")
    never = ("step/", "optimizer/", "bench/", "memory/device", "time/to_accuracy")
    latest, points = [], []
    for key in (metric.value for metric in Metric):
        if key.startswith(never):
            continue
        epochs = [(key, draw.random(), ended - 3 + k, k, False) for k in (1, 2, 3) if key in by_epoch]
        figures = epochs or [(key, draw.random(), ended, 0, False)]
        latest.append(figures[-1])
        points += figures
    delivered = (DELIVERED, ended / 1000 + 1, ended + 1000, 0, False)
    return [*latest, delivered], [*points, delivered]


def _tags(n: int, run_id: str, name: str, *, data: str, recipe: int) -> dict[str, str]:
    model = name.partition("-")[0]
    conditions = {
        "device": "a CPU with a long name @ 2.00GHz", "torch": "2.15.0", "precision": "float32",
        "threads": "by model size, at most 2", "batch_size": 32, "epochs": 3, "dataset": data, "train_images": 1437,
        "split": "val 0.1, seed 42", "step_runner": "captured",
    }  # fmt: skip
    return {
        "mlflow.runName": name,
        "mlflow.user": "someone",
        "mlflow.source.name": "cvexp",
        "mlflow.source.type": "LOCAL",
        "mlflow.source.git.commit": "0123456789abcdef" * 2 + "01234567",
        "mlflow.note.content": "| | |\n" * 60,
        "cvexp.version": "0.1.0",
        "cvexp.command": f"cvexp train {model} --dataset digits --seed {n % N_SEEDS}",
        "cvexp.host": "a-host",
        "cvexp.pid": str(n),
        "cvexp.process_started": str(START + n),
        "cvexp.boot_id": "01234567-89ab-cdef-0123-456789abcdef",
        "cvexp.pid_namespace": "pid:[4026531836]",
        "cvexp.python": "3.11.2",
        "cvexp.versions": json.dumps(dict.fromkeys(("torch", "torchvision", "torchmetrics", "mlflow", "numpy"), "1.2")),
        "cvexp.git_dirty": "false",
        "cvexp.device": "cpu",
        "cvexp.device_name": str(conditions["device"]),
        "cvexp.threads": "1",
        "cvexp.memory_format": "contiguous",
        "cvexp.test_set": data,
        "cvexp.step_runner": "captured (TorchScript loop; its first steps are eager's, bit for bit)",
        "cvexp.comparability_key": "0123456789",
        "cvexp.conditions": json.dumps(conditions, sort_keys=True),
        "cvexp.recipe": hashlib.sha256(str(recipe).encode()).hexdigest()[:16],
        "cvexp.weights_sha256": hashlib.sha256(run_id.encode()).hexdigest(),
        "cvexp.local_id": run_id,
    }
