"""What checkpoints and the journal cost: the loop over the epochs with both and with neither, in turns.

All of them in one process, a second apart: what is looked for is smaller than what processes differ by.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import torch

from benchmarks.measure import Row, save, table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OFF, ON = "safeguards off", "safeguards on"
EPOCHS = 3


def run(*, models: list[str], repeats: int, threads: int, limit: int | None, name: str) -> None:
    """Measure, print the tables, and write them to `benchmarks/results/`."""
    torch.set_num_threads(threads)
    tables: dict[str, list[Row]] = {}
    for model in models:
        loops: dict[str, list[float]] = {OFF: [], ON: []}
        waits: dict[str, list[float]] = {OFF: [], ON: []}
        for turn in range(repeats + 1):
            print(f"turn {turn}/{repeats}", file=sys.stderr, flush=True)
            for which in (OFF, ON) if turn % 2 else (ON, OFF):
                loop, waiting = seconds(model, limit, safeguarded=which == ON)
                if turn:  # the first is a warm-up
                    loops[which].append(loop - waiting)
                    waits[which].append(loop)
        tables[f"{model}: {EPOCHS} epochs"] = [Row(name=which, samples=loops[which]) for which in (OFF, ON)]
        with_waiting = f"{model}: {EPOCHS} epochs and the waiting for the tracking store between them"
        tables[with_waiting] = [Row(name=which, samples=waits[which]) for which in (OFF, ON)]
    for title, rows in tables.items():
        print(f"\n{title}\n\n{table(rows, baseline=OFF)}")
    print(f"\nwritten to {save(name, tables)}")


def seconds(model: str, limit: int | None, *, safeguarded: bool) -> tuple[float, float]:
    """Of the loop over the epochs of one training, and those of them in which it waited for the tracking store."""
    from cvexp.config import run_config
    from cvexp.jobs import train
    from cvexp.jobs.checkpoints import Keeping
    from cvexp.jobs.training import Training
    from cvexp.settings import store_settings
    from cvexp.tracking import journal
    from cvexp.tracking.run import Run

    spent = {"loop": 0.0, "waiting": 0.0}

    def timed(owner: type, method: str, part: str) -> Any:
        original: Callable[..., Any] = getattr(owner, method)

        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            if part == "loop":
                spent["waiting"] = 0.0  # what was waited for before the loop is not the loop's
            start = time.perf_counter()
            try:
                return original(*arguments, **keywords)
            finally:
                spent[part] += time.perf_counter() - start
                if part == "loop":
                    spent["waiting in it"] = spent["waiting"]

        return patch.object(owner, method, wrapped)

    with contextlib.ExitStack() as patched, _scratch() as folder:
        patched.enter_context(timed(Training, "_train", "loop"))
        patched.enter_context(timed(Run, "settle", "waiting"))
        patched.enter_context(patch.object(Training, "_store_artifacts", lambda *_: None))  # after the loop, and long
        if not safeguarded:
            patched.enter_context(patch.object(journal, "_append", lambda *_: None))
            patched.enter_context(patch.object(journal.Journal, "flush", lambda _: None))
        train.run(
            run_config({"model": model, "epochs": EPOCHS, "device": "cpu", "limit": limit}),
            store_settings(f"sqlite:///{folder}/mlflow.db"),
            data_dir=folder,
            keeping=Keeping(every=1 if safeguarded else 0, minutes=0),
        )
    return spent["loop"], spent["waiting in it"]


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """An empty working folder."""
    with tempfile.TemporaryDirectory() as folder:
        before = Path.cwd()
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)
