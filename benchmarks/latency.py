"""How often `cvexp bench` claims that a model differs from itself: alone on the machine, and beside busy programs.

A trial times one model as two, as `cvexp bench A B --batch 1` would. With 95% intervals, one in twenty claims a
difference by chance. Where the machine was busy, cvexp claims nothing; the share of intervals that exclude 1 is listed
all the same.
"""

from __future__ import annotations

import contextlib
import json
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from benchmarks.measure import RESULTS, machine
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.inference.latency.procedure import Limits
from cvexp.inference.latency.times import BatchTimes, Subject, time_models
from cvexp.inference.predictor import TorchPredictor
from cvexp.jobs.bench_models import arranged
from cvexp.models.registry import build, find_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

CPU = torch.device("cpu")
BUSY_LOOP = "while True: pass"
DATASET = "mnist-5k"  # Fashion-MNIST's shape, and never downloaded


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One measurement of a model as two: the ratio with its interval, and whether the machine was busy."""

    ratio: float
    low: float
    high: float
    busy: bool
    rounds: int
    clean_rounds: int
    p50_ms: float
    seconds: float

    @classmethod
    def of(cls, times: BatchTimes) -> Trial:
        """The figures that the table takes."""
        found = times.ratio(0, 1).times
        assert found.low is not None  # noqa: S101 - there are 15 rounds
        assert found.high is not None  # noqa: S101 - likewise
        return cls(
            ratio=found.value,
            low=found.low,
            high=found.high,
            busy=times.busy,
            rounds=times.n_rounds,
            clean_rounds=times.n_clean_rounds,
            p50_ms=times.models[0].p50.value,
            seconds=times.seconds,
        )

    @property
    def excludes_one(self) -> bool:
        """Whether the interval claims a difference, which there is none."""
        return not self.low <= 1 <= self.high


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure `repeats` trials of each model beside no, one, and as many busy loops as there are CPUs."""
    from cvexp.device import usable_cpus

    images = load(find_spec(DATASET), Path(), limit=limit).test.images
    tables: dict[str, list[Trial]] = {}
    for model in models:
        subject = Subject(predictor=_predictor(model), images=images)
        for n_busy in dict.fromkeys((0, 1, usable_cpus())):
            with busy_loops(n_busy):
                trials = [_trial(subject, threads, number) for number in range(repeats)]
            tables[f"{model}, beside {n_busy} busy loops"] = trials
            print(f"{_row(model, n_busy, trials)}", file=sys.stderr, flush=True)
    print(HEADER)
    for title, trials in tables.items():
        model, _, beside = title.partition(", beside ")
        print(_row(model, int(beside.split()[0]), trials))
    content = {
        "machine": machine(),
        "threads": threads,
        "images": DATASET,
        "trials": {title: [vars(trial) for trial in trials] for title, trials in tables.items()},
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nwritten to {RESULTS / f'{name}.json'}")


HEADER = (
    "| model | busy loops | trials | claims a difference | interval excludes 1 | busy | half-width, median | p50, ms |"
    " p50, largest / smallest | seconds a trial |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
)


def _row(model: str, n_busy: int, trials: list[Trial]) -> str:
    n = len(trials)
    claims = sum(one.excludes_one and not one.busy for one in trials)
    half = statistics.median((one.high / one.low) ** 0.5 - 1 for one in trials)
    p50s = [one.p50_ms for one in trials]
    cells = (
        model,
        n_busy,
        n,
        f"{claims} ({claims / n:.0%})",
        f"{sum(one.excludes_one for one in trials)}",
        sum(one.busy for one in trials),
        f"{half:.2%}",
        f"{statistics.median(p50s):.4f}",
        f"{max(p50s) / min(p50s):.3f}",
        f"{statistics.mean(one.seconds for one in trials):.1f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _predictor(model: str) -> TorchPredictor:
    spec = find_spec(DATASET)
    torch.manual_seed(0)
    module = build(
        find_entry(model, allow_path=False),
        image_shape=spec.image_shape,
        n_classes=len(spec.class_names),
        hidden_units=10,
        model_args={},
    )
    from cvexp.data.transforms import Transform

    predictor = TorchPredictor(module, Transform(), CPU)
    arranged(predictor, "channels_last" if model == "tinyvgg" else "contiguous")
    return predictor


def _trial(subject: Subject, threads: int, number: int) -> Trial:
    times = time_models([subject, subject], CPU, batch=1, n_threads=threads, limits=Limits())
    trial = Trial.of(times)
    print(
        f"trial {number + 1}: {trial.ratio:.4f} ({trial.low:.4f} to {trial.high:.4f}), "
        f"{trial.clean_rounds} of {trial.rounds} rounds clean",
        file=sys.stderr,
        flush=True,
    )
    return trial


@contextlib.contextmanager
def busy_loops(n: int) -> Iterator[None]:
    """Within the block, `n` processes that compute all the time."""
    loops = [subprocess.Popen([sys.executable, "-c", BUSY_LOOP]) for _ in range(n)]  # noqa: S603 - our own interpreter
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
