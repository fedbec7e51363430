"""Another checkout of cvexp against this one, as commands: epochs, evaluation, whole commands, help, compare.

Only what both versions promise is used: command lines, the JSON of `cvexp train`, and MLflow's client.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.course import AGREEMENT, EPOCHS, FAST_EPOCHS
from benchmarks.measure import Row, save, table
from benchmarks.startup import N_RUNS, fill

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]
SHORT_COMMANDS = 5
"""Times that a command of a second is run in a turn; the median counts."""

Measurement = dict[str, float]


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str, before: Path) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`.

    Args:
        models: Whose epochs and evaluation are measured.
        repeats: Turns; one more comes first and is left out.
        threads: CPU threads for one operation, at most.
        limit: Only the first so many images: a rehearsal.
        name: Of the file in `benchmarks/results/`.
        before: The other checkout, with an environment in `.venv`.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ.pop("PYTHONPATH", None)  # it would take precedence over what is installed in an environment
    pythons = {"before": interpreter(before), "after": Path(sys.executable)}
    commits = {"before": checked(pythons["before"], before), "after": checked(pythons["after"], ROOT)}
    extra = [] if limit is None else ["--limit", str(limit)]
    tasks: list[Callable[[Path, Path], Measurement]] = [partial(_epochs, model, extra) for model in models]
    tasks += [partial(_whole_command, extra), _help, _compare]
    with tempfile.TemporaryDirectory() as scratch:
        for version in pythons:
            (Path(scratch) / version / "compare").mkdir(parents=True)
        fill(Path(scratch) / "before" / "compare")
        shutil.copy(Path(scratch) / "before" / "compare" / "mlflow.db", Path(scratch) / "after" / "compare")
        measured = _in_turns(tasks, pythons, Path(scratch), repeats)
    tables = {
        title: [Row(name=version, samples=samples) for version, samples in by_version.items()]
        for title, by_version in measured.items()
        if not title.endswith("accuracy")
    }
    for title, by_version in measured.items():
        if title.endswith("accuracy") and abs(by_version["before"][0] - by_version["after"][0]) > AGREEMENT:
            raise SystemExit(f"the versions do not do the same work: {title}: {by_version}")
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows, baseline='before')}")
    ratios = {title: _ratio(rows) for title, rows in tables.items()}
    print("\n| | times as fast as before |\n|---|---:|")
    print("\n".join(f"| {title} | {ratio:.3f} |" for title, ratio in ratios.items()))
    notes = {
        "commits": commits,
        "times_as_fast": ratios,
        "accuracies": {k: v for k, v in measured.items() if "acc" in k},
    }
    print(f"\nwritten to {save(name, tables, notes=notes)}")


def _in_turns(
    tasks: list[Callable[[Path, Path], Measurement]], pythons: dict[str, Path], scratch: Path, repeats: int
) -> dict[str, dict[str, list[float]]]:
    """Samples by title and version. The versions run one after the other, and swap their order from turn to turn."""
    measured: dict[str, dict[str, list[float]]] = {}
    for turn in range(repeats + 1):
        order = list(pythons) if turn % 2 else list(pythons)[::-1]
        for task in tasks:
            for version in order:
                figures = task(pythons[version], scratch / version)
                for title, figure in figures.items() if turn else ():
                    measured.setdefault(title, {name: [] for name in pythons})[version].append(figure)
                listed = ", ".join(f"{title} {figure:.3f}" for title, figure in figures.items())
                print(f"turn {turn}/{repeats}, {version}: {listed}", file=sys.stderr, flush=True)
    return measured


def _epochs(model: str, extra: list[str], python: Path, folder: Path) -> Measurement:
    """Seconds of a training pass and of an evaluation pass: medians over the epochs after the first."""
    n_epochs = EPOCHS.get(model, FAST_EPOCHS)
    trained = _answer([str(python), "-m", "cvexp", *_training(model, n_epochs), "--json", *extra], folder)
    n_images = extra[-1] if extra else 60_000
    later = trained["history"][1:]
    passes = [int(n_images) / epoch["throughput/images_per_second"] for epoch in later]
    whole = [epoch["time/epoch_seconds"] for epoch in later]
    return {
        f"{model}: epoch, training": statistics.median(passes),
        f"{model}: epoch, evaluation": statistics.median(e - t for e, t in zip(whole, passes, strict=True)),
        f"{model}: test accuracy": later[-1]["test/accuracy"],
    }


def _whole_command(extra: list[str], python: Path, folder: Path) -> Measurement:
    words = [str(python), "-m", "cvexp", *_training("linear", 3), *extra]
    return {"cvexp train linear, 3 epochs, whole command": _seconds(words, folder, times=1)}


def _help(python: Path, folder: Path) -> Measurement:
    return {"cvexp train --help": _seconds([str(python), "-m", "cvexp", "train", "--help"], folder)}


def _compare(python: Path, folder: Path) -> Measurement:
    words = [str(python), "-m", "cvexp", "compare", "--json"]
    n_runs = len(_answer(words, folder / "compare")["runs"])
    if n_runs != N_RUNS:
        raise SystemExit(f"{python}: compare shows {n_runs} of {N_RUNS} runs")
    return {f"cvexp compare on {N_RUNS} runs": _seconds(words, folder / "compare")}


def _training(model: str, n_epochs: int) -> tuple[str, ...]:
    return ("train", model, "--dataset", "fashion-mnist", "--epochs", str(n_epochs), "--device", "cpu")


def _seconds(words: list[str], folder: Path, *, times: int = SHORT_COMMANDS) -> float:
    """Wall-clock seconds of a process, the median of several."""
    samples = []
    for _ in range(times):
        start = time.perf_counter()
        _output(words, folder)
        samples.append(time.perf_counter() - start)
    return statistics.median(samples)


def _answer(words: list[str], folder: Path) -> dict[str, Any]:
    return dict(json.loads(_output(words, folder)))


def _output(words: list[str], folder: Path) -> str:
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed:\n{done.stderr[-3000:]}")
    return done.stdout


def _ratio(rows: list[Row]) -> float:
    before, after = rows
    return statistics.median(b / a for b, a in zip(before.samples, after.samples, strict=True))


def interpreter(checkout: Path) -> Path:
    """Python of the checkout's environment; SystemExit where there is none."""
    python = checkout.absolute() / ".venv" / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"no environment there: {python}; make one: cd {checkout} && uv sync")
    return python


def checked(python: Path, checkout: Path) -> str:
    """The checkout's commit, once it is certain that `python` imports cvexp from there and not from elsewhere."""
    with tempfile.TemporaryDirectory() as empty:
        found = Path(_output([str(python), "-c", "import cvexp; print(cvexp.__file__)"], Path(empty)).strip())
    if checkout.resolve() not in found.resolve().parents:
        raise SystemExit(f"{python} imports {found}, not the cvexp in {checkout}")
    return _output(["git", "-C", str(checkout), "describe", "--always", "--dirty"], ROOT).strip()
