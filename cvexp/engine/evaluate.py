"""One pass over a split, in large batches, with one wait for the device at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cvexp.data.batches import scaled
from cvexp.metrics import evaluation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from cvexp.data.dataset import Split
    from cvexp.results import Evaluation

BATCH_SIZE = 500
"""Large enough to make dispatch cheap; at 1,000, convolutions fall out of a CPU's cache and get slower."""


def evaluate(model: nn.Module, split: Split, *, class_names: Sequence[str], batch_size: int = BATCH_SIZE) -> Evaluation:
    """Loss, accuracy, confusion counts and per-class figures of `model` on `split`.

    Every image counts once, whatever the size of the last batch. Like a pass of torch's DataLoader, this draws
    one number from the default generator; the course's figures depend on that draw.

    Args:
        model: From float (N, C, H, W) to logits (N, K); left in evaluation mode.
        split: On the model's device.
        class_names: K of them, in label order.
        batch_size: Images per forward pass.
    """
    torch.empty((), dtype=torch.int64).random_()
    model.eval()
    losses, predictions = [], []
    with torch.inference_mode():
        for start in range(0, len(split), batch_size):
            logits = model(scaled(split.images[start : start + batch_size]))
            labels = split.labels[start : start + batch_size]
            losses.append(functional.cross_entropy(logits, labels, reduction="sum"))
            predictions.append(logits.argmax(dim=1))
    return evaluation(
        loss_sum=float(torch.stack(losses).cpu().double().sum()),
        labels=split.labels.cpu().numpy(),
        predictions=torch.cat(predictions).cpu().numpy(),
        class_names=class_names,
    )
