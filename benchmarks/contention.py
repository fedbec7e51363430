"""Training on a machine that is busy: alone, beside one and two busy loops, and two trainings at once.

With `--before CHECKOUT`, another version of cvexp is measured in turns with this one. Only what both promise is
used: the command line, the line of `cvexp train` that names the threads, and its JSON.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measure import RESULTS, machine
from benchmarks.versions import ROOT, checked, interpreter
from cvexp.machine import occupancy_since, read_machine_state, read_machine_times

if TYPE_CHECKING:
    from collections.abc import Iterator

ALONE = "alone"
SCENES = {ALONE: (0, 1), "one busy loop": (1, 1), "two busy loops": (2, 1), "two trainings at once": (0, 2)}
"""Busy loops beside the training, and trainings at once."""

EPOCHS = 4
LOOP = [sys.executable, "-c", "while True: pass"]
WATCHED_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One training: seconds of training steps in an epoch, the median over the epochs after the first.

    `waited_share` is what the run says, None for versions that do not; `others` is how many CPUs other programs used
    just before the scene was set, which should be none, and `load` the load average then.
    """

    scene: str
    version: str
    seconds: float
    threads: int
    waited_share: float | None
    others: float | None
    load: float | None


def run(
    *, models: list[str], repeats: int, threads: int, limit: int | None, name: str, before: Path | None = None
) -> None:
    """Measure, print the table, and write every sample to `benchmarks/results/`.

    Args:
        models: Trained on mnist-5k, one after the other.
        repeats: Turns.
        threads: CPU threads for one operation, at most.
        limit: Only the first so many images: a rehearsal.
        name: Of the file in `benchmarks/results/`.
        before: Another checkout, with an environment in `.venv`; None measures this one alone.
    """
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(threads)
    os.environ.pop("PYTHONPATH", None)  # it would take precedence over what is installed in an environment
    versions = {} if before is None else {"before": (interpreter(before), before)}
    versions["after"] = (Path(sys.executable), ROOT)
    commits = {version: checked(python, checkout) for version, (python, checkout) in versions.items()}
    extra = [] if limit is None else ["--limit", str(limit)]
    samples: dict[str, list[Sample]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for turn in range(repeats):
            for model in models:
                for scene in SCENES:
                    for version in list(versions)[:: 1 if turn % 2 else -1]:
                        found = _measured(scene, version, versions[version][0], [model, *extra], Path(scratch))
                        samples.setdefault(model, []).extend(found)
                        print(f"turn {turn + 1}/{repeats}: {model}: {found}", file=sys.stderr, flush=True)
    for model, measured in samples.items():
        print(f"\n{model} on mnist-5k, seconds of training an epoch\n\n{_table(measured, list(versions))}")
    content = {
        "machine": machine(),
        "commits": commits,
        "samples": {model: [asdict(one) for one in measured] for model, measured in samples.items()},
    }
    path = RESULTS / f"{name}.json"
    path.write_text(json.dumps(content, indent=1) + "\n")
    print(f"\nwritten to {path}")


def _measured(scene: str, version: str, python: Path, words: list[str], scratch: Path) -> list[Sample]:
    """The trainings of one scene."""
    n_loops, n_trainings = SCENES[scene]
    times, state = read_machine_times(), read_machine_state()
    time.sleep(WATCHED_SECONDS)
    others = occupancy_since(times)
    with _busy_loops(n_loops):
        running = [_start(python, words, scratch / f"{version}-{n}") for n in range(n_trainings)]
        answers = [_answer(one) for one in running]
    return [
        Sample(
            scene=scene,
            version=version,
            seconds=_epoch_seconds(document),
            threads=int(found[1]) if (found := re.search(r", (\d+) threads?,", stderr)) else 0,
            waited_share=document["metrics"].get("time/waited_share"),
            others=None if others is None else round(others.taken, 2),
            load=state.load,
        )
        for document, stderr in answers
    ]


def _epoch_seconds(document: dict[str, Any]) -> float:
    """Seconds of training steps: the median over the epochs after the first."""
    rates = [epoch["throughput/images_per_second"] for epoch in document["history"]]
    n_images = document["metrics"]["time/train_seconds"] / sum(1 / rate for rate in rates)
    return statistics.median(n_images / rate for rate in rates[1:])


@contextlib.contextmanager
def _busy_loops(n: int) -> Iterator[None]:
    loops = [subprocess.Popen(LOOP) for _ in range(n)]  # noqa: S603
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def _start(python: Path, words: list[str], folder: Path) -> subprocess.Popen[str]:
    folder.mkdir(exist_ok=True)
    model, *extra = words
    command = ["train", model, "--dataset", "mnist-5k", "--epochs", str(EPOCHS), "--device", "cpu", "--json", *extra]
    return subprocess.Popen(  # noqa: S603
        [str(python), "-m", "cvexp", *command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def _answer(started: subprocess.Popen[str]) -> tuple[dict[str, Any], str]:
    stdout, stderr = started.communicate()
    if started.returncode:
        raise SystemExit(f"a training failed:\n{stderr[-3000:]}")
    return dict(json.loads(stdout)), stderr


def _table(samples: list[Sample], versions: list[str]) -> str:
    """Markdown: medians, and how many times as long as alone with the same version."""
    lines = ["| beside |" + "".join(f" {v}, s | times alone | threads |" for v in versions)]
    lines.append("|---|" + "---:|---:|---|" * len(versions))
    for scene in SCENES:
        row = f"| {scene} |"
        for version in versions:
            own = {s: [one for one in samples if (one.scene, one.version) == (s, version)] for s in (scene, ALONE)}
            here, alone = (statistics.median(one.seconds for one in own[s]) for s in (scene, ALONE))
            threads = ", ".join(map(str, sorted({one.threads for one in own[scene]})))
            row += f" {here:.2f} | {here / alone:.1f} | {threads} |"
        lines.append(row)
    return "\n".join(lines)
