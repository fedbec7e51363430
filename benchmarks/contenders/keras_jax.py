"""Keras 3 on JAX: `model.fit` on arrays in memory, many steps per compiled call.

`steps_per_execution` among the task's options is 50 unless set. Pixels are scaled before the clock starts, as Keras
users do; XLA's threads are limited as in `jax_scan`.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

os.environ["KERAS_BACKEND"] = "jax"

import jax
import keras
from keras import layers

from benchmarks.contenders.jax_scan import initial_weights, limit_threads
from benchmarks.tasks import Answer, Task
from cvexp.data.dataset import Split, load
from cvexp.data.registry import find_spec

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

EVALUATION_BATCH = 500
STEPS_PER_EXECUTION = "50"


class Clock(keras.callbacks.Callback):
    """Seconds of each epoch: training until the test starts, then the test."""

    def __init__(self) -> None:
        super().__init__()
        self.train_seconds: list[float] = []
        self.evaluate_seconds: list[float] = []
        self._start = 0.0

    def _lap(self) -> float:
        jax.block_until_ready([weight.value for weight in self.model.trainable_variables])
        start, self._start = self._start, time.perf_counter()
        return self._start - start

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:  # noqa: ARG002 - Keras passes them
        """Start the clock."""
        self._lap()

    def on_test_begin(self, logs: dict | None = None) -> None:  # noqa: ARG002 - Keras passes it
        """Training of the epoch is over."""
        self.train_seconds.append(self._lap())

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:  # noqa: ARG002 - Keras passes them
        """So is its test."""
        self.evaluate_seconds.append(self._lap())


def build(name: str) -> keras.Model:
    """One of the course's models for 28x28x1 images, with torch's initial weights."""
    model = keras.Sequential([keras.Input((28, 28, 1))])
    if name == "tinyvgg":
        for _ in range(2):
            for _ in range(2):
                model.add(layers.Conv2D(10, 3, padding="same", activation="relu"))
            model.add(layers.MaxPooling2D(2))
    model.add(layers.Flatten())
    activation = "relu" if name == "mlp" else None
    if name != "tinyvgg":
        model.add(layers.Dense(10, activation=activation))
    model.add(layers.Dense(10, activation=activation))
    model.set_weights([array for layer in initial_weights(name) for array in layer])
    return model


def arrays(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Images float32 (N, 28, 28, 1) in [0, 1], and labels int32 (N,)."""
    return split.images.permute(0, 2, 3, 1).contiguous().numpy().astype("float32") / 255, split.labels.int().numpy()


def run(task: Task, scratch: Path) -> Answer:
    """Train and evaluate through `Model.fit`."""
    limit_threads(task.threads, task.device)
    dataset = load(find_spec("fashion-mnist"), scratch, limit=task.limit)
    keras.utils.set_random_seed(42)
    model = build(task.model)
    model.compile(
        optimizer=keras.optimizers.SGD(learning_rate=0.1),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=int(task.options.get("steps_per_execution", STEPS_PER_EXECUTION)),
    )
    clock = Clock()
    history = model.fit(
        *arrays(dataset.train),
        batch_size=task.batch_size,
        epochs=task.epochs,
        shuffle=True,
        validation_data=arrays(dataset.test),
        validation_batch_size=EVALUATION_BATCH,
        callbacks=[clock],
        verbose=0,
    ).history
    return Answer(
        train_seconds=clock.train_seconds,
        evaluate_seconds=clock.evaluate_seconds,
        train_loss=float(history["loss"][-1]),
        test_accuracy=float(history["val_accuracy"][-1]),
        versions={"keras": keras.__version__, "jax": jax.__version__},
    )
