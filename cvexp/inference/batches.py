"""How many images a program gets at once. Imports no torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

BATCH, BATCH_BYTES = 500, 2**22
"""The most images of one call, and the most bytes of them as floats."""


def batches(images: Tensor) -> Sequence[Tensor]:
    """The images (N, C, H, W), on the CPU, in parts that fit its caches."""
    size = max(1, min(BATCH, BATCH_BYTES // (4 * math.prod(images.shape[1:]))))
    parts: Sequence[Tensor] = images.cpu().split(size)  # type: ignore[no-untyped-call]
    return parts
