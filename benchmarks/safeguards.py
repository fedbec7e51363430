"""What checkpoints and the journal cost: the loop over the epochs with both and with neither, in turns.

All of them in one process, a second apart: what is looked for is smaller than what processes differ by.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch
from scipy.stats import bootstrap

from benchmarks.measure import Row, save, table

if TYPE_CHECKING:
    from collections.abc import Callable

OFF, ON = "safeguards off", "safeguards on"
EPOCHS = 3


@dataclass(kw_only=True)
class Spent:
    """Seconds of one training's loop over its epochs.

    Attributes:
        loop: On the clock, without the waiting for the tracking store, which is done between epochs.
        waiting: On the clock, for the tracking store.
        cpu: Of all the process's threads, so that what is done beside the training counts like the training.
    """

    loop: float = 0.0
    waiting: float = 0.0
    cpu: float = 0.0


FIGURES: dict[str, Callable[[Spent], float]] = {
    "the loop": lambda spent: spent.loop,
    "the loop and its waiting for the tracking store": lambda spent: spent.loop + spent.waiting,
    "processor time of all threads": lambda spent: spent.cpu,
}


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`."""
    torch.set_num_threads(threads)
    tables: dict[str, list[Row]] = {}
    with tempfile.TemporaryDirectory() as scratch, contextlib.chdir(scratch):
        for model in models:
            measured: dict[str, list[Spent]] = {OFF: [], ON: []}
            for turn in range(repeats + 1):
                print(f"turn {turn}/{repeats}", file=sys.stderr, flush=True)
                for which in (OFF, ON) if turn % 2 else (ON, OFF):
                    spent = train_once(model, limit, Path(scratch), safeguarded=which == ON)
                    if turn:  # the first is a warm-up
                        measured[which].append(spent)
            for title, figure in FIGURES.items():
                rows = [Row(name=which, samples=[figure(s) for s in measured[which]]) for which in (OFF, ON)]
                tables[f"{model}, {EPOCHS} epochs: {title}"] = rows
    ratios = {title: ratio(*(row.samples for row in rows)) for title, rows in tables.items()}
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows, baseline=OFF)}\n\n{ON} over {OFF}: {ratios[title]}")
    print(f"\nwritten to {save(name, tables, notes={'ratios': ratios})}")


def ratio(off: list[float], on: list[float]) -> str:
    """Of the sums, with the bootstrap's 95% interval over the turns."""
    found = bootstrap((off, on), lambda a, b: sum(b) / sum(a), paired=True, vectorized=False, rng=0)
    low, high = found.confidence_interval
    return f"{sum(on) / sum(off):.3f} ({low:.3f} to {high:.3f})"


def train_once(model: str, limit: int | None, folder: Path, *, safeguarded: bool) -> Spent:
    """Train as `cvexp train` does, but for the pictures and files that come after the loop."""
    from cvexp.config import run_config
    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.jobs import train
    from cvexp.settings import store_settings
    from cvexp.tracking import journal
    from cvexp.tracking.outbox import Outbox
    from cvexp.training.loop import Training

    waits: list[float] = []
    spent = Spent()
    loop, drain = Training._train, Outbox.drain  # noqa: SLF001 - the loop is what is measured

    def timed_drain(tracked: Outbox) -> None:
        start = time.perf_counter()
        drain(tracked)
        waits.append(time.perf_counter() - start)

    def timed_loop(training: Training, fit: Any) -> None:
        waits.clear()
        start, cpu = time.perf_counter(), time.process_time()
        loop(training, fit)
        spent.cpu = time.process_time() - cpu
        spent.waiting = sum(waits)
        spent.loop = time.perf_counter() - start - spent.waiting

    replaced: list[tuple[Any, str, Callable[..., Any]]] = [
        (Training, "_train", timed_loop),
        (Training, "_store_artifacts", lambda *_: None),
        (Outbox, "drain", timed_drain),
    ]
    if not safeguarded:
        replaced += [(journal.Journal, "_write", lambda *_: None), (journal.Journal, "flush", lambda _: None)]
    with contextlib.ExitStack() as patched:
        for owner, attribute, replacement in replaced:
            patched.enter_context(patch.object(owner, attribute, replacement))
        train.run(
            run_config({"model": model, "epochs": EPOCHS, "device": "cpu", "limit": limit}),
            store_settings(f"sqlite:///{folder}/mlflow.db"),
            data_dir=folder,
            policy=CheckpointPolicy(every=1 if safeguarded else 0, minutes=0),
        )
    return spent
