"""fastai's Learner on images in memory; its loader gathers a batch at a time, as fastai's tabular loader does."""

from __future__ import annotations

import random
import time
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING

import torch
from fastai.callback.core import Callback
from fastai.callback.progress import ProgressCallback
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import accuracy
from fastai.optimizer import SGD

from benchmarks.tasks import Answer, Task
from benchmarks.torch_models import course_model
from cvexp.data.dataset import Split, load
from cvexp.data.registry import find_spec

if TYPE_CHECKING:
    from pathlib import Path

    Batch = tuple[torch.Tensor, torch.Tensor]

EVALUATION_BATCH = 500


class Clock(Callback):
    """Seconds of each epoch's training and of its validation."""

    def __init__(self) -> None:
        self.train_seconds: list[float] = []
        self.evaluate_seconds: list[float] = []
        self._start = 0.0

    def _lap(self) -> float:
        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        start, self._start = self._start, time.perf_counter()
        return self._start - start

    def before_train(self) -> None:
        """Start the clock."""
        self._lap()

    def after_train(self) -> None:
        """Training of the epoch is over."""
        self.train_seconds.append(self._lap())

    def before_validate(self) -> None:
        """Start the clock again."""
        self._lap()

    def after_validate(self) -> None:
        """Validation is over."""
        self.evaluate_seconds.append(self._lap())


def in_memory(split: Split, *, batch_size: int, shuffle: bool, device: torch.device) -> DataLoader:
    """Build fastai's own loader, told how to make a batch of indices into images and labels."""
    images, labels = split.images.to(device), split.labels.to(device)

    def gather(indices: list[int]) -> Batch:
        where = torch.tensor(indices, device=device)
        return images[where].float().div_(255), labels[where]

    return DataLoader(
        range(len(labels)), bs=batch_size, shuffle=shuffle, create_batch=gather, retain=_as_it_is, device=device
    )


def _as_it_is(batch: Batch, _: list[int]) -> Batch:
    return batch


def run(task: Task, scratch: Path) -> Answer:
    """Train and evaluate through `Learner.fit`, which keeps the rate constant."""
    torch.set_num_threads(task.threads)
    device = torch.device(task.device)
    dataset = load(find_spec("fashion-mnist"), scratch, limit=task.limit)
    random.seed(42)
    batches = DataLoaders(
        in_memory(dataset.train, batch_size=task.batch_size, shuffle=True, device=device),
        in_memory(dataset.test, batch_size=EVALUATION_BATCH, shuffle=False, device=device),
        device=device,
    )
    torch.manual_seed(42)
    clock = Clock()
    learner = Learner(
        batches,
        course_model(task.model),
        loss_func=CrossEntropyLossFlat(),
        opt_func=partial(SGD, mom=0.0),
        lr=0.1,
        metrics=accuracy,
        cbs=clock,
        path=scratch,
    )
    learner.remove_cb(ProgressCallback)
    with learner.no_logging():
        learner.fit(task.epochs, lr=0.1)
    # fastai reports the training loss smoothed over the last steps, and weighs the rest by images.
    train_loss, _, test_accuracy = learner.recorder.values[-1]
    return Answer(
        train_seconds=clock.train_seconds,
        evaluate_seconds=clock.evaluate_seconds,
        train_loss=float(train_loss),
        test_accuracy=float(test_accuracy),
        versions={"fastai": version("fastai"), "torch": torch.__version__},
    )
