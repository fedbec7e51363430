"""cvexp's own engine, with the step runner the task names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from benchmarks.tasks import Answer, Task
from cvexp.config import run_config
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.device import choose, seed_everything
from cvexp.engine.fit import Fit
from cvexp.engine.placement import laid_out, place
from cvexp.models.registry import build, find_entry

if TYPE_CHECKING:
    from pathlib import Path


def run(task: Task, scratch: Path) -> Answer:
    """Train and evaluate as `cvexp train` does, tracking left out."""
    settings = {"model": task.model, "epochs": task.epochs, "batch_size": task.batch_size, "device": task.device}
    config = run_config({**settings, **task.options})
    torch.set_num_threads(task.threads)  # how many there are; the engine's own rule may take fewer
    device = choose(task.device)
    dataset = load(find_spec("fashion-mnist"), scratch, limit=task.limit)
    seed_everything(config.seed)
    model = build(
        find_entry(task.model),
        image_shape=dataset.image_shape,
        n_classes=dataset.n_classes,
        hidden_units=config.hidden_units,
        model_args={},
    )
    placed = place(model, dataset.image_shape, batch_size=task.batch_size, device=device, n_threads=config.threads)
    model = laid_out(model.to(device.torch), placed)
    torch.set_num_threads(placed.threads)
    history = list(Fit(model, dataset, config=config, device=device, evaluation_threads=placed.evaluation_threads))
    return Answer(
        train_seconds=[epoch.timing.train_seconds for epoch in history],
        evaluate_seconds=[epoch.timing.evaluate_seconds for epoch in history],
        train_loss=history[-1].train.loss,
        test_accuracy=history[-1].held_out.metrics.accuracy,
        versions={"torch": torch.__version__},
    )
