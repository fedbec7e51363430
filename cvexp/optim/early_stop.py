"""Which epoch is the best one on the validation part, and when to give up waiting for a better one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.results import SplitMetrics


def is_better(one: SplitMetrics, than: SplitMetrics) -> bool:
    """Whether the validation figures of an epoch are better: a higher accuracy, or the same with a lower loss."""
    return _quality(one) > _quality(than)


def best_of(epochs: Sequence[SplitMetrics]) -> int:
    """The index of the best epoch, the first one of equals."""
    return max(range(len(epochs)), key=lambda index: (*_quality(epochs[index]), -index))


def out_of_patience(epochs: Sequence[SplitMetrics], patience: int) -> bool:
    """Whether the last `patience` epochs were all no better than the best one before them."""
    return len(epochs) - 1 - best_of(epochs) >= patience if epochs else False


def _quality(figures: SplitMetrics) -> tuple[float, float]:
    """Larger is better; NaN is the worst."""
    accuracy, loss = (-math.inf if math.isnan(x) else x for x in (figures.accuracy, -figures.loss))
    return accuracy, loss
