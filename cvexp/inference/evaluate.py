"""Figures of a model on a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cvexp.device import default_threads, threads
from cvexp.inference.predictor import logits_by_class
from cvexp.metrics import evaluation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor, nn

    from cvexp.data.split import Split
    from cvexp.data.transforms import Transform
    from cvexp.results import Evaluation


def evaluate(
    model: nn.Module,
    split: Split,
    *,
    transform: Transform,
    class_names: Sequence[str],
    batch_size: int | None = None,
    n_threads: int | None = None,
    after_batch: Callable[[], None] | None = None,
    keep_logits: Callable[[Tensor], None] | None = None,
    logits_of: Callable[..., Tensor] | None = None,
) -> Evaluation:
    """Evaluate `model` during training: one pass over `split`, on its device, with one wait for the device at the end.

    Like a pass of torch's DataLoader, this draws one number from the default generator; the course's figures depend on
    that draw. Arguments are as for `logits_by_class`, and `class_names` are in label order. `keep_logits` is given the
    logits, (K, N) on the device, which the result does not hold. `logits_of` is called in place of `logits_by_class`
    where several processes evaluate together.
    """
    torch.empty((), dtype=torch.int64).random_()
    logits = (logits_of or logits_by_class)(
        model,
        split.images,
        transform,
        device=split.labels.device,
        batch_size=batch_size,
        n_threads=n_threads,
        after_batch=after_batch,
    )
    if keep_logits is not None:
        keep_logits(logits)
    return score(logits, split.labels, class_names=class_names, n_threads=n_threads)


def score(logits: Tensor, labels: Tensor, *, class_names: Sequence[str], n_threads: int | None = None) -> Evaluation:
    """Loss, accuracy, confusion counts and per-class figures; every image counts once.

    `logits` are float32 (K, N); `labels` are int64 (N,) in [0, K), on the same device.
    """
    with torch.inference_mode(), threads(n_threads or default_threads()):
        losses = functional.cross_entropy(logits[None], labels[None], reduction="none")
        predictions = logits.max(dim=0).indices
    return evaluation(
        loss_sum=float(losses.cpu().double().sum()),
        labels=labels.cpu().numpy(),
        predictions=predictions.cpu().numpy(),
        class_names=class_names,
    )
