"""Lightning's Trainer with everything optional switched off: no logger, no checkpoints, no progress bar.

`data` among the task's options is `memory` (uint8 tensors, a batch per gather) or `torchvision` (as the course loads).
"""

from __future__ import annotations

import logging
import time
import warnings
from importlib.metadata import version
from typing import TYPE_CHECKING

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from torch.nn import functional
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler, TensorDataset

from benchmarks.tasks import Answer, Task
from benchmarks.torch_models import course_model
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec

if TYPE_CHECKING:
    from pathlib import Path

EVALUATION_BATCH = 500


class Classifier(lightning.LightningModule):
    """One of the course's models; figures go through `self.log`, which weighs them by images."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.model = course_model(name)

    def _figures(self, batch: list[torch.Tensor], split: str) -> torch.Tensor:
        images, labels = batch
        if images.dtype == torch.uint8:
            images = images.float().div_(255)
        logits = self.model(images)
        loss = functional.cross_entropy(logits, labels)
        accuracy = (logits.argmax(dim=1) == labels).float().mean()
        figures = {f"{split}_loss": loss, f"{split}_accuracy": accuracy}
        self.log_dict(figures, on_step=False, on_epoch=True, batch_size=len(labels))
        return loss

    def training_step(self, batch: list[torch.Tensor], _: int) -> torch.Tensor:
        """Loss of one batch."""
        return self._figures(batch, "train")

    def validation_step(self, batch: list[torch.Tensor], _: int) -> None:
        """Count one batch of test images."""
        self._figures(batch, "test")

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Plain SGD at the course's rate."""
        return torch.optim.SGD(self.parameters(), lr=0.1)


class Clock(Callback):
    """Seconds of each epoch: training until validation starts, then validation."""

    def __init__(self) -> None:
        self.train_seconds: list[float] = []
        self.evaluate_seconds: list[float] = []
        self._start = 0.0

    def _lap(self, trainer: lightning.Trainer) -> float:
        if trainer.strategy.root_device.type == "cuda":
            torch.cuda.synchronize()
        start, self._start = self._start, time.perf_counter()
        return self._start - start

    def on_train_epoch_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Start the clock."""
        self._lap(trainer)

    def on_validation_start(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """Training of the epoch is over."""
        self.train_seconds.append(self._lap(trainer))

    def on_validation_end(self, trainer: lightning.Trainer, _: lightning.LightningModule) -> None:
        """So is its validation."""
        self.evaluate_seconds.append(self._lap(trainer))


def loaders(task: Task, scratch: Path) -> tuple[DataLoader, DataLoader]:
    """Training and test batches."""
    if task.options.get("data", "memory") == "torchvision":
        from benchmarks.contenders.course import datasets

        train, test = datasets(scratch, task.limit)
        shuffled = DataLoader(train, batch_size=task.batch_size, shuffle=True)
        return shuffled, DataLoader(test, batch_size=EVALUATION_BATCH)
    dataset = load(find_spec("fashion-mnist"), scratch, limit=task.limit)
    train, test = (TensorDataset(split.images, split.labels) for split in (dataset.train, dataset.test))
    # A sampler of whole batches, and no batching by the loader: one gather per batch instead of one per image.
    orders = (
        BatchSampler(RandomSampler(train), task.batch_size, drop_last=False),
        BatchSampler(SequentialSampler(test), EVALUATION_BATCH, drop_last=False),
    )
    first, second = (
        DataLoader(split, sampler=order, batch_size=None) for split, order in zip((train, test), orders, strict=True)
    )
    return first, second


def run(task: Task, scratch: Path) -> Answer:
    """Train and evaluate through `Trainer.fit`."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")
    torch.set_num_threads(task.threads)
    train, test = loaders(task, scratch)
    torch.manual_seed(42)
    module = Classifier(task.model)
    torch.manual_seed(42)
    clock = Clock()
    trainer = lightning.Trainer(
        accelerator="gpu" if task.device == "cuda" else "cpu",
        devices=1,
        max_epochs=task.epochs,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=scratch,
    )
    trainer.fit(module, train, test)
    return Answer(
        train_seconds=clock.train_seconds,
        evaluate_seconds=clock.evaluate_seconds,
        train_loss=float(trainer.callback_metrics["train_loss"]),
        test_accuracy=float(trainer.callback_metrics["test_accuracy"]),
        versions={"lightning": version("lightning"), "torch": torch.__version__},
    )
