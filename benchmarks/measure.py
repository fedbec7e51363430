"""Run contenders in turns, each time in a process of its own, and say how they compare.

A figure is the median over the repetitions, with the smallest and the largest; a ratio is the median of the ratios
of neighbouring runs, so that a machine whose speed drifts does not favour whoever ran first.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks.tasks import Answer, Task

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A name for the table, the module of `benchmarks.contenders` that does the work, and the task it gets."""

    name: str
    module: str
    task: Task


@dataclass(frozen=True, kw_only=True)
class Row:
    """One contender's figures over all repetitions, seconds."""

    name: str
    samples: list[float]

    @property
    def median(self) -> float:
        """The middle one."""
        return statistics.median(self.samples)


def in_turns(contenders: list[Contender], *, repeats: int) -> dict[str, list[Answer]]:
    """Run every contender once, then every contender again, and so on."""
    answers: dict[str, list[Answer]] = {contender.name: [] for contender in contenders}
    for turn in range(repeats):
        for contender in contenders:
            print(f"turn {turn + 1}/{repeats}: {contender.name}", file=sys.stderr, flush=True)
            answers[contender.name].append(run_one(contender))
    return answers


def run_one(contender: Contender) -> Answer:
    """Run one contender in a fresh process."""
    threads = str(contender.task.threads)
    with tempfile.TemporaryDirectory() as scratch:
        done = subprocess.run(  # noqa: S603 - our own interpreter, words of our own
            [sys.executable, "-m", "benchmarks", "one", contender.module, contender.task.to_json(), scratch],
            env={**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise SystemExit(f"{contender.name} failed:\n{done.stderr[-3000:]}")
    return Answer(**json.loads(done.stdout.splitlines()[-1]))


def steady(answer: Answer) -> tuple[float, float]:
    """Seconds of a training pass and of an evaluation pass: medians over the epochs after the first."""
    return statistics.median(answer.train_seconds[1:]), statistics.median(answer.evaluate_seconds[1:])


def table(rows: list[Row], *, baseline: str, unit: str = "s") -> str:
    """Markdown: median, spread, and how many times as fast as the baseline."""
    base = next(row for row in rows if row.name == baseline)
    lines = [f"| | median, {unit} | smallest to largest | times as fast as {baseline} |", "|---|---:|---:|---:|"]
    for row in rows:
        ratio = statistics.median(b / r for b, r in zip(base.samples, row.samples, strict=True))
        spread = f"{min(row.samples):.3f} to {max(row.samples):.3f}"
        lines.append(f"| {row.name} | {row.median:.3f} | {spread} | {ratio:.2f} |")
    return "\n".join(lines)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    from cvexp.device import choose

    return {
        "cpu": choose("cpu").name,
        "system": platform.platform(),
        "python": platform.python_version(),
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        **{name: version(name) for name in ("torch", "torchvision", "mlflow", "numpy")},
    }


def save(name: str, tables: dict[str, list[Row]], *, notes: dict[str, object] | None = None) -> Path:
    """Write every sample, with hardware and versions, to `benchmarks/results/`."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.json"
    content = {
        "machine": machine(),
        "tables": {title: [asdict(row) for row in rows] for title, rows in tables.items()},
        **(notes or {}),
    }
    path.write_text(json.dumps(content, indent=1) + "\n")
    return path
