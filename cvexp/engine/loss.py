"""The training loss: cross-entropy, with smoothed labels and weighted classes where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

if TYPE_CHECKING:
    from torch import Tensor

    from cvexp.config.loss import LossConfig


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Loss:
    """Mean cross-entropy as `torch.nn.functional.cross_entropy` defines it.

    Labels are int64 (B,) in [0, K), or float32 (B, K) class probabilities, as mixed images have them. With weights the
    mean is over the weights of the labels' classes; for probabilities it is over the images.

    Attributes:
        smoothing: Share of each label that is spread over all K classes, in [0, 1).
        weights: float32 (K,) on the labels' device, or None for equal ones.
    """

    smoothing: float = 0.0
    weights: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean loss () of logits float32 (B, K)."""
        return functional.cross_entropy(logits, labels, weight=self.weights, label_smoothing=self.smoothing)

    def part(self, logits: Tensor, labels: Tensor, *, divisor: Tensor | int) -> Tensor:
        """What some images add to the mean loss over all images of a step, (): the parts' sum is that mean.

        `divisor` is that of all the step's labels.
        """
        total = functional.cross_entropy(
            logits, labels, weight=self.weights, label_smoothing=self.smoothing, reduction="sum"
        )
        return total / divisor

    def divisor(self, labels: Tensor) -> Tensor | int:
        """What the mean over images with these labels divides their sum by: their number, or their weights' sum ()."""
        if self.weights is None or labels.is_floating_point():
            return len(labels)
        return self.weights.index_select(0, labels).sum()


def loss_for(config: LossConfig, labels: Tensor, *, n_classes: int) -> Loss:
    """The loss that `config` asks for; `labels` are those of the training split, int64 (N,) in [0, K)."""
    weights = balanced_weights(labels, n_classes=n_classes) if config.class_weights == "balanced" else None
    return Loss(smoothing=config.label_smoothing, weights=weights)


def balanced_weights(labels: Tensor, *, n_classes: int) -> Tensor:
    """N / (K n_k) for each class k that n_k of the N labels have, float32 (K,); 0 for a class that none has.

    As scikit-learn's `compute_class_weight("balanced")`. The mean over the labels is 1 where every class has some.
    """
    counts = torch.bincount(labels, minlength=n_classes)
    weights = len(labels) / (n_classes * counts.double())
    return torch.where(counts > 0, weights, 0.0).float()


def n_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """How many images have their label's class on top, int64 (); probabilities stand for the likeliest class."""
    truth = labels.argmax(dim=1) if labels.is_floating_point() else labels
    return (logits.argmax(dim=1) == truth).sum()
