"""`cvexp train` as a library call, with its checkpoints and its journal on the disk or without either."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.tasks import Answer, Task

if TYPE_CHECKING:
    from pathlib import Path


def run(task: Task, scratch: Path) -> Answer:
    """Train, and answer how long the loop over the epochs took, waiting for the tracking store left out."""
    from cvexp.config import run_config
    from cvexp.jobs import train
    from cvexp.jobs.checkpoints import Keeping
    from cvexp.jobs.training import Training
    from cvexp.settings import store_settings
    from cvexp.tracking import journal
    from cvexp.tracking.run import Run

    safeguarded = task.options["safeguards"] == "on"
    if not safeguarded:
        journal._append = lambda *_, **__: None  # noqa: SLF001 - what is to be left out
    os.chdir(scratch)
    seconds = {"loop": 0.0, "store": 0.0}

    def timed(owner: type, name: str, part: str) -> None:
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **keywords: Any) -> Any:
            start = time.perf_counter()
            try:
                return original(*arguments, **keywords)
            finally:
                seconds[part] += time.perf_counter() - start

        setattr(owner, name, wrapped)

    timed(Training, "_train", "loop")
    timed(Run, "settle", "store")
    settle_before = Training._train  # noqa: SLF001 - the settling before the loop is not the loop's

    def only_the_loop(self: Training, fit: Any) -> None:
        seconds["store"] = 0.0
        settle_before(self, fit)
        seconds["in_loop"] = seconds["store"]

    Training._train = only_the_loop  # type: ignore[method-assign]  # noqa: SLF001 - as above
    result = train.run(
        run_config({"model": task.model, "epochs": task.epochs, "device": task.device}),
        store_settings(f"sqlite:///{scratch}/mlflow.db"),
        data_dir=scratch,
        keeping=Keeping(every=1 if safeguarded else 0, minutes=0),
    )
    return Answer(
        train_seconds=[seconds["loop"] - seconds["in_loop"]],
        evaluate_seconds=[seconds["in_loop"]],
        train_loss=result.history[-1].train.loss,
        test_accuracy=result.evaluation.metrics.accuracy,
        versions={"torch": torch.__version__},
    )
