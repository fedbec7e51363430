"""One training on several devices beside the same on one, in turns: images per second and the last epoch's figures.

On a CPU this is a check of correctness: processes share the cores that one process's threads would have. On a machine
with several GPUs, `--device cuda --devices N` measures what is gained.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measure import Row, save, table

EPOCHS = 4
BATCHES = (32, 512)
ONE = "one device, eager steps"


def run(
    *,
    models: list[str],
    repeats: int,
    threads: int,
    limit: int | None,
    name: str,
    device: str = "cpu",
    devices: int = 2,
) -> None:
    """Measure, print the tables, and write every sample to `benchmarks/results/`.

    Args:
        models: Trained on mnist-5k, one after the other.
        repeats: Turns.
        threads: CPU threads in all: each of the processes has its share.
        limit: Only the first so many images: a rehearsal.
        name: Of the file in `benchmarks/results/`.
        device: `cpu` or `cuda`.
        devices: How many.
    """
    several = f"{devices} devices"
    extra = [] if limit is None else ["--limit", str(limit)]
    tables: dict[str, list[Row]] = {}
    last: dict[str, dict[str, float]] = {}
    for model in models:
        for batch in BATCHES:
            words = [model, "--batch-size", str(batch), "--device", device, *extra]
            own = {
                ONE: [*words, "--step", "eager", "--threads", str(threads)],
                several: [*words, "--devices", str(devices), "--threads", str(max(1, threads // devices))],
            }
            rows = [Row(name=which, samples=[]) for which in own]
            for turn in range(repeats):
                for row in rows[:: 1 if turn % 2 else -1]:
                    document = trained(own[row.name])
                    row.samples.append(epoch_seconds(document))
                    last[f"{model}, batches of {batch}, {row.name}"] = document["history"][-1]
            tables[f"{model}, batches of {batch}: seconds of training in an epoch"] = rows
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows, baseline=ONE)}")
    for title, figures in last.items():
        print(f"{title}: train loss {figures['train/loss']:.5f}, test accuracy {figures['test/accuracy']:.2%}")
    print(f"\nwritten to {save(name, tables, notes={'last epoch': last})}")


def trained(words: list[str]) -> dict[str, Any]:
    """What `cvexp train` with these words answers, in a folder of its own."""
    command = [
        sys.executable,
        "-m",
        "cvexp",
        "train",
        *words,
        "--dataset",
        "mnist-5k",
        "--epochs",
        str(EPOCHS),
        "--json",
    ]
    root = str(Path(__file__).parents[1])
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - our own interpreter, words of our own
            command, cwd=folder, env={**os.environ, "PYTHONPATH": root}, capture_output=True, text=True, check=False
        )
    if done.returncode:
        raise SystemExit(f"a training failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout))


def epoch_seconds(document: dict[str, Any]) -> float:
    """Seconds of training steps: the median over the epochs after the first."""
    rates = [epoch["throughput/images_per_second"] for epoch in document["history"]]
    n_images = document["metrics"]["time/train_seconds"] / sum(1 / rate for rate in rates)
    return statistics.median(n_images / rate for rate in rates[1:])
