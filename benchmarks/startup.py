"""Whole commands, from the shell's point of view: training against the bare course script, help, compare."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Row, save, table
from benchmarks.tasks import Task

N_RUNS = 100
"""In the store that `compare` reads."""

Command = tuple[list[str], Path]


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`."""
    tables: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for model in models:
            title = f"{model}: whole command, 3 epochs"
            tables[title] = in_turns(_training(model, folder / model, threads, limit), repeats, fresh="first ever")
        tables["help"] = in_turns(_help(folder), max(repeats, 5))
        tables[f"compare on {N_RUNS} runs"] = in_turns(_compare(folder / "compare"), max(repeats, 5))
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows, baseline=rows[0].name)}")
    print(f"\nwritten to {save(name, tables)}")


def in_turns(commands: dict[str, Command], repeats: int, *, fresh: str = "-") -> list[Row]:
    """Run every command once unmeasured, then all of them again and again; those named `fresh` in an empty folder."""
    samples: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, (words, folder) in commands.items():
            if fresh in name:
                shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, exist_ok=True)
            print(f"turn {turn}/{repeats}: {name}", file=sys.stderr, flush=True)
            start = time.perf_counter()
            done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
            seconds = time.perf_counter() - start
            if done.returncode:
                raise SystemExit(f"{name} failed:\n{done.stderr[-3000:]}")
            if turn:
                samples[name].append(seconds)
    return [Row(name=name, samples=measured) for name, measured in samples.items()]


def _training(model: str, folder: Path, threads: int, limit: int | None) -> dict[str, Command]:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    os.environ["PYTHONPATH"] = str(Path(__file__).parents[1])
    (folder / "scratch").mkdir(parents=True)
    task = Task(model=model, threads=threads, limit=limit)
    course = [sys.executable, "-m", "benchmarks", "one", "course", task.to_json(), str(folder / "scratch")]
    cvexp = [sys.executable, "-m", "cvexp", "train", model, "--device", "cpu"]
    if limit is not None:
        cvexp += ["--limit", str(limit)]
    return {
        "bare course script": (course, folder),
        "cvexp train, existing store": (cvexp, folder / "existing"),
        "cvexp train, first ever": (cvexp, folder / "first"),
    }


def _help(folder: Path) -> dict[str, Command]:
    return {
        "import typer, rich": ([sys.executable, "-c", "import typer, rich"], folder),
        "cvexp --help": ([sys.executable, "-m", "cvexp", "--help"], folder),
        "cvexp train --help": ([sys.executable, "-m", "cvexp", "train", "--help"], folder),
    }


def _compare(folder: Path) -> dict[str, Command]:
    folder.mkdir(parents=True)
    fill(folder)
    return {
        "import mlflow": ([sys.executable, "-c", "import mlflow"], folder),
        "cvexp compare": ([sys.executable, "-m", "cvexp", "compare"], folder),
    }


def fill(folder: Path) -> None:
    """Write runs like training's into a new store, with MLflow's own client and without the training."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    from cvexp.config import run_config

    client = MlflowClient(f"sqlite:///{folder}/mlflow.db")
    tags = {"cvexp.version": "0", "cvexp.device": "cpu", "cvexp.comparability_key": "0" * 10}
    for n in range(N_RUNS):
        run_id = client.create_run("0", run_name=f"linear-{n}", tags=tags).info.run_id
        figures = {
            "test/accuracy": 0.8 + n / 1000,
            "test/loss": 0.5,
            "time/train_seconds": 2.0,
            "throughput/images_per_second": 9e4,
            "model/parameters": 7960,
        }
        metrics = [Metric(key, value, timestamp=n, step=3) for key, value in figures.items()]
        params = [Param(key, value) for key, value in run_config({"model": "linear", "seed": n}).params().items()]
        client.log_batch(run_id, metrics=metrics, params=params)
        client.set_terminated(run_id)
