"""Whether a written file gives what its model gives, image by image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cvexp.errors import GateError
from cvexp.stats import agresti_min

if TYPE_CHECKING:
    from torch import Tensor

TIE = 1e-5
"""Logits that differ by less may swap places: runtimes add float32 numbers in other orders."""

EXACT = 1e-4
"""Of the largest logit, at least 1: the most that fp32 logits may differ by. bfloat16 is ten times worse."""

SIMILAR = 0.5
"""Root mean square difference of logits, relative to the logits: int8 stays far below it, probabilities do not."""

INT8_LOSS = 0.005
"""Accuracy that an int8 file may lose unless the user says otherwise: half a percentage point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parity:
    """A file's logits on test images beside those of the model it was made from.

    Attributes:
        n_images: That were compared.
        identical: Whether all logits are equal bit for bit.
        max_logit_difference: The largest; infinite where one of the two is not a number and the other is.
        largest_logit: Of the model, by magnitude, among those that are finite.
        relative_difference: Root mean square of the differences, divided by that of the model's logits.
        n_disagreements: Images that get another class, ties left out.
        n_ties: Images that get another class whose logit the model has within `TIE` of the largest.
        accuracy: Of the file, in [0, 1].
        accuracy_difference: The file's accuracy less the model's.
        accuracy_interval: Its 95% interval, paired by image: see `cvexp.stats.agresti_min`.
    """

    n_images: int
    identical: bool
    max_logit_difference: float
    largest_logit: float
    relative_difference: float
    n_disagreements: int
    n_ties: int
    accuracy: float
    accuracy_difference: float
    accuracy_interval: tuple[float, float]

    @property
    def top1_agreement(self) -> float:
        """The share of images that get the same class, ties included, in [0, 1]."""
        return 1 - self.n_disagreements / self.n_images


def compare_logits(expected: Tensor, found: Tensor, labels: Tensor) -> Parity:
    """Compare a file's logits `found` with the model's `expected`, both float32 (N, K); labels are int64 (N,).

    Raises:
        GateError: They have different shapes.
    """
    if expected.shape != found.shape:
        shapes = [" x ".join(map(str, one.shape)) for one in (found, expected)]
        raise GateError(f"the file gives {shapes[0]} logits, and its model {shapes[1]}", "export again")
    same = (expected == found) | (expected.isnan() & found.isnan())
    difference = (found.double() - expected.double()).abs().masked_fill(same, 0.0).nan_to_num(nan=torch.inf)
    finite = expected.double().nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    size = finite.square().mean().sqrt()
    best, theirs = expected.argmax(dim=1), found.argmax(dim=1)
    rows = torch.arange(len(expected))
    other = best != theirs
    tied = other & (expected[rows, best] - expected[rows, theirs] <= TIE)
    right, theirs_right = best == labels, theirs == labels
    gained, lost = int((theirs_right & ~right).sum()), int((right & ~theirs_right).sum())
    return Parity(
        n_images=len(expected),
        identical=torch.equal(expected.contiguous().view(torch.uint8), found.contiguous().view(torch.uint8)),
        max_logit_difference=float(difference.max()),
        largest_logit=float(finite.abs().max()),
        relative_difference=float(difference.square().mean().sqrt() / size) if size else float(difference.max()),
        n_disagreements=int((other & ~tied).sum()),
        n_ties=int(tied.sum()),
        accuracy=float(theirs_right.double().mean()),
        accuracy_difference=(gained - lost) / len(expected),
        accuracy_interval=agresti_min(gained, lost, len(expected)),
    )


def why_it_fails(parity: Parity, *, quantized: bool, tolerance: float | None = None) -> str:
    """Why a file is not to be shipped, in words; empty where it may be.

    An fp32 file has to give every image the same class and the same logits up to rounding; with a `tolerance`, that
    share of the images may get another class, and the logits be similar. An int8 file may lose accuracy: `tolerance`,
    by default `INT8_LOSS`. Both are in [0, 1].
    """
    allowed = tolerance if tolerance is not None else INT8_LOSS if quantized else 0.0
    n, of = parity.n_disagreements, parity.n_images
    if quantized and -parity.accuracy_difference > allowed:
        return f"it loses {-100 * parity.accuracy_difference:.2f} points of accuracy, and {100 * allowed:g} are allowed"
    if not quantized and n > allowed * of:
        limit = f", and {100 * allowed:g}% are allowed" if allowed else ""
        return f"it gives {n:,} of {of:,} test images another class{limit}"
    if not (quantized or allowed) and not parity.max_logit_difference <= EXACT * max(1.0, parity.largest_logit):
        return f"its logits differ by up to {parity.max_logit_difference:.2g}"
    if not parity.relative_difference <= SIMILAR:
        return f"its outputs are no such logits: they differ by {parity.relative_difference:.0%} of them"
    return ""
