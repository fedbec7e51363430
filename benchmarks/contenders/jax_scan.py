"""Plain JAX: an epoch is one compiled `lax.scan` over shuffled batches of indices, the images lie on the device.

Threads: XLA sizes its pool by PJRT_NPROC and by the CPUs the process may run on, so both are set before its first
operation; XLA has no flag for the number of threads itself.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import jax
import numpy as np
import torch
from jax import lax
from jax import numpy as jnp

from benchmarks.tasks import Answer, Task
from benchmarks.torch_models import course_model
from cvexp.data.dataset import load
from cvexp.data.registry import find_spec

if TYPE_CHECKING:
    from pathlib import Path

    Weights = list[tuple[jax.Array, jax.Array]]

EVALUATION_BATCH = 500
LEARNING_RATE = 0.1


def limit_threads(n_threads: int, device: str) -> None:
    """Make XLA use so many threads where it runs on the CPU; call before its first operation."""
    jax.config.update("jax_platforms", device)
    os.environ["PJRT_NPROC"] = str(n_threads)
    if device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_threads])


def initial_weights(model: str) -> list[tuple[np.ndarray, np.ndarray]]:
    """Initial weights as torch draws them under the course's seed, for images whose channels come last.

    Per layer the kernel, (inputs, outputs) or (height, width, inputs, outputs), and the bias.
    """
    torch.manual_seed(42)
    tensors = [parameter.detach().numpy() for parameter in course_model(model).parameters()]
    layers = []
    for kernel, bias in zip(tensors[::2], tensors[1::2], strict=True):
        if kernel.ndim == 4:  # noqa: PLR2004 - a convolution
            layers.append((kernel.transpose(2, 3, 1, 0), bias))
        elif model == "tinyvgg":  # torch flattens (10, 7, 7), and here it is (7, 7, 10)
            layers.append((kernel.reshape(10, 10, 7, 7).transpose(2, 3, 1, 0).reshape(490, 10), bias))
        else:
            layers.append((kernel.T, bias))
    return layers


def epoch_order(n_images: int) -> np.ndarray:
    """The int32 order in which torch's DataLoader would shuffle next, so that losses can be compared."""
    # The loader draws one number for its workers and one for its sampler; its pass over the test images draws one.
    _, seed = (int(torch.empty((), dtype=torch.int64).random_()) for _ in range(2))
    return torch.randperm(n_images, generator=torch.Generator().manual_seed(seed)).numpy().astype(np.int32)


def logits_of(model: str, weights: Weights, images: jax.Array) -> jax.Array:
    """Logits float (N, 10) of images uint8 (N, 28, 28, 1)."""
    signal = images.astype(jnp.float32) / 255
    if model == "tinyvgg":
        for number, (kernel, bias) in enumerate(weights[:-1]):
            layout = ("NHWC", "HWIO", "NHWC")
            signal = jax.nn.relu(
                lax.conv_general_dilated(signal, kernel, (1, 1), "SAME", dimension_numbers=layout) + bias
            )
            if number % 2:
                signal = lax.reduce_window(signal, -jnp.inf, lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        weights = weights[-1:]
    signal = signal.reshape(len(images), -1)
    for kernel, bias in weights:
        signal = signal @ kernel + bias
        if model == "mlp":
            signal = jax.nn.relu(signal)
    return signal


def run(task: Task, scratch: Path) -> Answer:
    """Train and evaluate with two compiled functions."""
    limit_threads(task.threads, task.device)
    dataset = load(find_spec("fashion-mnist"), scratch, limit=task.limit)
    images, test_images = (
        jnp.asarray(split.images.permute(0, 2, 3, 1).numpy()) for split in (dataset.train, dataset.test)
    )
    labels, test_labels = (jnp.asarray(split.labels.numpy(), jnp.int32) for split in (dataset.train, dataset.test))

    def loss_of(weights: Weights, batch: jax.Array, expected: jax.Array) -> tuple[jax.Array, jax.Array]:
        logits = logits_of(task.model, weights, batch)
        chosen = jnp.take_along_axis(jax.nn.log_softmax(logits), expected[:, None], axis=1)
        return -chosen.mean(), (logits.argmax(axis=1) == expected).sum()

    @jax.jit
    def train(weights: Weights, images: jax.Array, labels: jax.Array, order: jax.Array) -> tuple:
        def step(weights: Weights, where: jax.Array) -> tuple:
            figures, slopes = jax.value_and_grad(loss_of, has_aux=True)(weights, images[where], labels[where])
            return jax.tree.map(lambda w, slope: w - LEARNING_RATE * slope, weights, slopes), figures

        weights, (losses, correct) = lax.scan(step, weights, order)
        return weights, losses.sum() * order.shape[1], correct.sum()

    count = jax.jit(lambda weights, batch, expected: loss_of(weights, batch, expected)[1])
    weights = jax.tree.map(jnp.asarray, initial_weights(task.model))
    torch.manual_seed(42)
    train_seconds, evaluate_seconds = [], []
    train_loss = accuracy = 0.0
    for _ in range(task.epochs):
        start = time.perf_counter()
        order = epoch_order(len(labels))
        whole = len(order) // task.batch_size * task.batch_size
        parts = [order[:whole].reshape(-1, task.batch_size), order[whole:].reshape(1, -1)]
        loss_sums = []
        for part in parts:
            if part.size:
                weights, loss_sum, _ = train(weights, images, labels, jnp.asarray(part))
                loss_sums.append(loss_sum)
        train_loss = float(sum(loss_sums)) / len(labels)
        train_seconds.append(time.perf_counter() - start)
        start = time.perf_counter()
        torch.empty((), dtype=torch.int64).random_()
        cuts = [slice(first, first + EVALUATION_BATCH) for first in range(0, len(test_labels), EVALUATION_BATCH)]
        accuracy = float(sum(count(weights, test_images[cut], test_labels[cut]) for cut in cuts)) / len(test_labels)
        evaluate_seconds.append(time.perf_counter() - start)
    return Answer(
        train_seconds=train_seconds,
        evaluate_seconds=evaluate_seconds,
        train_loss=train_loss,
        test_accuracy=accuracy,
        versions={"jax": jax.__version__, "jaxlib": jax.lib.__version__},
    )
