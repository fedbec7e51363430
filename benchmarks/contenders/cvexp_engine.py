"""cvexp's own engine, with the step runner the task names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.tasks import Answer, Task
from cvexp.config import run_config
from cvexp.training.session import prepare

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.data.dataset import Dataset


def run(task: Task, scratch: Path, *, dataset: Dataset | None = None) -> Answer:
    """Train and evaluate as `cvexp train` does, tracking left out; on `dataset` in place of Fashion-MNIST."""
    settings = {"model": task.model, "epochs": task.epochs, "batch_size": task.batch_size, "device": task.device}
    settings |= {"dataset": "fashion-mnist", "limit": task.limit}
    config = run_config({**settings, **task.options})
    torch.set_num_threads(task.threads)  # how many there are; the engine's own rule may take fewer
    prepared = prepare(config, scratch, dataset=dataset)
    torch.set_num_threads(prepared.layout.threads)
    history = list(prepared.fit())
    return Answer(
        train_seconds=[epoch.timing.train_seconds for epoch in history],
        evaluate_seconds=[epoch.timing.evaluate_seconds for epoch in history],
        train_loss=history[-1].train.loss,
        test_accuracy=history[-1].held_out.metrics.accuracy,
        versions={"torch": torch.__version__},
    )
