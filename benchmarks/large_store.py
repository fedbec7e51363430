"""A store of ten thousand runs: how long naming a run and reading all of them takes, and how much memory.

The runs are written straight into MLflow's tables, with the parameters, figures and tags of a training: 25 parameters,
25 metrics and 28 tags each, of ten models, five seeds a recipe. Imports and the start of the process are not counted.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Row, save

if TYPE_CHECKING:
    from collections.abc import Iterator

N_RUNS = 10_000
N_SEEDS = 5
START = 1_700_000_000_000  # milliseconds since 1970; a run begins every ten seconds

PROBE = """
import json, re, sys, time
from pathlib import Path
def peak():  # of this program alone: getrusage also counts what the process was before it became this program
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
import mlflow, mlflow.store.tracking.sqlalchemy_store, mlflow.utils, cvexp.jobs.compare, cvexp.tracking.queries
from cvexp.settings import store_settings
from cvexp.tracking.queries import find, search
from cvexp.tracking.recovery import recover
from cvexp.tracking.store import open_store
settings = store_settings("sqlite:///mlflow.db")
imported = peak()
start, cpu = time.perf_counter(), time.process_time()
what = sys.argv[1]
if what == "recover":
    recover(settings)
elif what == "search":
    found = search(open_store(settings, create=False))
elif what == "mlflow":
    from mlflow import MlflowClient
    client, token, found = MlflowClient(settings.tracking_uri), None, []
    while token is None or token:
        page = client.search_runs(["0"], max_results=1000, page_token=token)
        found, token = found + list(page), page.token or ""
elif what == "compare":
    cvexp.jobs.compare.run([], settings)
else:
    found = find(open_store(settings, create=False), what)
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak(), "imported": imported}))
"""
WITH_MLFLOW = "all runs, MLflow's client"


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`; `limit` is the number of runs."""
    del models, threads
    n_runs = limit or N_RUNS
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        start = time.perf_counter()
        middle = fill(folder, n_runs)
        print(f"{n_runs:,} runs written in {time.perf_counter() - start:.0f} s", file=sys.stderr)
        asked = {
            "@last": "@last",
            "@best": "@best@digits",
            "@best:METRIC": "@best@digits:time/train_seconds",
            "by id": middle[0],
            "by prefix": middle[0][:8],
            "by name": middle[1],
            "start-up step": "recover",
            "all runs, as compare reads them": "search",
            "compare": "compare",
            WITH_MLFLOW: "mlflow",
        }
        samples: dict[str, list[dict[str, float]]] = {title: [] for title in asked}
        for turn in range(repeats):
            for title, words in asked.items():
                if words != "mlflow" or turn == 0:  # it takes half a minute
                    print(f"turn {turn + 1}/{repeats}: {title}", file=sys.stderr, flush=True)
                    samples[title].append(_probed(words, folder))
    seconds = [Row(name=title, samples=[one["seconds"] for one in taken]) for title, taken in samples.items()]
    cpu = [Row(name=title, samples=[one["cpu"] for one in taken]) for title, taken in samples.items()]
    memory = [Row(name=title, samples=[one["peak"] for one in taken]) for title, taken in samples.items()]
    print(f"\n| {n_runs:,} runs | median, s | smallest to largest | of the CPU, s | peak memory of the process, MiB |")
    print("|---|---:|---:|---:|---:|")
    for took, worked, held in zip(seconds, cpu, memory, strict=True):
        spread = f"{min(took.samples):.2f} to {max(took.samples):.2f}"
        print(f"| {took.name} | {took.median:.2f} | {spread} | {worked.median:.2f} | {held.median:,.0f} |")
    imported = Row(name="imports alone", samples=[one["imported"] for taken in samples.values() for one in taken])
    print(f"| {imported.name} | - | - | - | {imported.median:,.0f} |")
    tables = {"seconds": seconds, "seconds of the CPU": cpu, "peak resident memory, MiB": [*memory, imported]}
    print(f"\nwritten to {save(name, tables)}")


def _probed(words: str, folder: Path) -> dict[str, float]:
    root = Path(__file__).parents[1]
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r})\n{PROBE}", words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{words} failed:\n{done.stderr[-3000:]}")
    found: dict[str, float] = json.loads(done.stdout)
    return found


def fill(folder: Path, n_runs: int = N_RUNS) -> tuple[str, str]:
    """Write finished runs into a new store in `folder`, in seconds; returns the id and the name of the middle one."""
    from mlflow import MlflowClient

    file = folder / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()
    rows = list(_runs(folder, n_runs))
    with contextlib.closing(sqlite3.connect(file)) as database, database:
        database.executemany(
            "INSERT INTO runs (run_uuid, name, source_type, user_id, status, start_time, end_time, lifecycle_stage, "
            "artifact_uri, experiment_id) VALUES (?, ?, 'LOCAL', 'someone', 'FINISHED', ?, ?, 'active', ?, 0)",
            [row["run"] for row in rows],
        )
        for kind in ("params", "tags"):
            pairs = ((run_id, *pair) for row in rows for run_id in row["run"][:1] for pair in row[kind].items())
            database.executemany(f"INSERT INTO {kind} (run_uuid, key, value) VALUES (?, ?, ?)", pairs)  # noqa: S608
        for name in ("metrics", "latest_metrics"):
            figures = (
                (key, value, row["run"][2], row["run"][0], 0, False)
                for row in rows
                for key, value in row["metrics"].items()
            )
            database.executemany(
                f"INSERT INTO {name} (key, value, timestamp, run_uuid, step, is_nan) VALUES (?, ?, ?, ?, ?, ?)",  # noqa: S608
                figures,
            )
    middle = rows[n_runs // 2]["run"]
    return middle[0], middle[1]


def _runs(folder: Path, n_runs: int) -> Iterator[dict[str, Any]]:
    from cvexp.config import run_config
    from cvexp.results import Metric

    draw = random.Random(0)  # noqa: S311 - synthetic figures
    data = hashlib.sha256(b"digits").hexdigest()[:16]
    conditions = {
        "device": "a CPU with a long name @ 2.00GHz", "torch": "2.15.0", "precision": "float32",
        "threads": "by model size, at most 2", "batch_size": 32, "epochs": 3, "dataset": data, "train_images": 1437,
        "split": "none", "step_runner": "captured",
    }  # fmt: skip
    for n in range(n_runs):
        recipe, seed = divmod(n, N_SEEDS)
        run_id = f"{draw.getrandbits(128):032x}"
        model = ("linear", "mlp", "tinyvgg")[recipe % 3]
        name = f"{model}-{run_id[:6]}"
        asked = {"model": model, "dataset": "digits", "seed": seed, "lr": 0.001 * (1 + recipe % 1000)}
        params = run_config(asked).params()
        params |= {f"model_args.option_{k}": str(recipe % (k + 2)) for k in range(25 - len(params))}
        tags = {
            "mlflow.runName": name,
            "mlflow.user": "someone",
            "mlflow.source.name": "cvexp",
            "mlflow.source.type": "LOCAL",
            "mlflow.source.git.commit": "0123456789abcdef" * 2 + "01234567",
            "mlflow.note.content": "| | |\n" * 60,
            "cvexp.version": "0.1.0",
            "cvexp.command": f"cvexp train {model} --dataset digits --seed {seed}",
            "cvexp.host": "a-host",
            "cvexp.pid": str(n),
            "cvexp.process_started": str(START + n),
            "cvexp.python": "3.11.2",
            **{f"cvexp.versions.{one}": "1.2.3" for one in ("torch", "torchvision", "torchmetrics", "mlflow", "numpy")},
            "cvexp.git_dirty": "false",
            "cvexp.device": "cpu",
            "cvexp.device_name": conditions["device"],
            "cvexp.threads": "1",
            "cvexp.memory_format": "contiguous",
            "cvexp.test_set": data,
            "cvexp.step_runner": "captured (the fastest here that gives the same)",
            "cvexp.comparability_key": "0123456789",
            "cvexp.conditions": json.dumps(conditions, sort_keys=True),
            "cvexp.recipe": hashlib.sha256(str(recipe).encode()).hexdigest()[:16],
            "cvexp.weights_sha256": hashlib.sha256(run_id.encode()).hexdigest(),
            "cvexp.local_id": run_id,
        }
        started = START + n * 10_000
        yield {
            "run": (run_id, name, started, started + 9_000, str(folder / "mlruns" / "0" / run_id / "artifacts")),
            "params": params,
            "tags": {key: str(value) for key, value in tags.items()},
            "metrics": {key.value: draw.random() for key in Metric if key != Metric.VAL_ACCURACY},
        }
