"""One pass over a split, in large batches, with one wait for the device at the end."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cvexp.data.batches import scaled
from cvexp.device import default_threads, threads
from cvexp.metrics import evaluation
from cvexp.models.summary import widest_output

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from cvexp.data.dataset import Split
    from cvexp.results import Evaluation

CPU_BATCH_BYTES, CPU_LAYER_BYTES = 2**22, 14 * 2**20
"""Float images of one batch on a CPU, and the largest output of a layer: enough to make dispatch cheap, and few enough
for its caches and for what memory a laptop has to spare."""

BATCH_BYTES, LAYER_BYTES = 2**25, 2**28
"""The same on a GPU, where only memory limits it."""


def images_per_batch(model: nn.Module, image_shape: Sequence[int], device: torch.device) -> int:
    """How many images of shape (C, H, W) `model` should evaluate at once on `device`, where it is."""
    images, layer = (CPU_BATCH_BYTES, CPU_LAYER_BYTES) if device.type == "cpu" else (BATCH_BYTES, LAYER_BYTES)
    widest = widest_output(model, image_shape, device=device)
    return max(1, min(images // (4 * math.prod(image_shape)), layer // (4 * widest)))


def evaluate(
    model: nn.Module,
    split: Split,
    *,
    class_names: Sequence[str],
    batch_size: int | None = None,
    n_threads: int | None = None,
    callback: Callable[[], None] | None = None,
) -> Evaluation:
    """Loss, accuracy, confusion counts and per-class figures of `model` on `split`.

    Every image counts once, whatever the size of the last batch. Like a pass of torch's DataLoader, this draws
    one number from the default generator; the course's figures depend on that draw.

    Args:
        model: From float (N, C, H, W) to logits (N, K); left in evaluation mode.
        split: On the model's device.
        class_names: K of them, in label order.
        batch_size: Images per forward pass; by default what `images_per_batch` says.
        n_threads: CPU threads for one operation; by default as many as torch has now, at most the usable CPUs.
        callback: Called after each forward pass; what it raises ends the evaluation.
    """
    torch.empty((), dtype=torch.int64).random_()
    model.eval()
    size = min(len(split), batch_size or images_per_batch(model, split.images.shape[1:], split.images.device))
    # (K, N): sums over classes take a third of their time in (N, K).
    logits = torch.empty((len(class_names), len(split)), device=split.images.device)
    with torch.inference_mode(), threads(n_threads or default_threads()):
        buffer = torch.empty((size, *split.images.shape[1:]), device=split.images.device)
        for start in range(0, len(split), size):
            images = split.images[start : start + size]
            logits[:, start : start + size] = model(scaled(images, out=buffer[: len(images)])).t()
            if callback is not None:
                callback()
        losses = functional.cross_entropy(logits[None], split.labels[None], reduction="none")
        predictions = logits.max(dim=0).indices
    return evaluation(
        loss_sum=float(losses.cpu().double().sum()),
        labels=split.labels.cpu().numpy(),
        predictions=predictions.cpu().numpy(),
        class_names=class_names,
    )
