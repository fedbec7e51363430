"""Which epoch is the best one on the validation part, and when to give up waiting for a better one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.config.loop import MonitorName
    from cvexp.results import SplitMetrics


def is_better(one: SplitMetrics, than: SplitMetrics, monitor: MonitorName) -> bool:
    """Whether the validation figures of an epoch are better: `monitor` is higher, or the same with a lower loss."""
    return _quality(one, monitor) > _quality(than, monitor)


def best_of(epochs: Sequence[SplitMetrics], monitor: MonitorName) -> int:
    """The index of the best epoch, the first one of equals."""
    return max(range(len(epochs)), key=lambda index: (*_quality(epochs[index], monitor), -index))


def out_of_patience(epochs: Sequence[SplitMetrics], patience: int, monitor: MonitorName) -> bool:
    """Whether the last `patience` epochs were all no better than the best one before them."""
    return len(epochs) - 1 - best_of(epochs, monitor) >= patience if epochs else False


def _quality(figures: SplitMetrics, monitor: MonitorName) -> tuple[float, float]:
    """Larger is better; NaN is the worst."""
    monitored = {
        "accuracy": figures.accuracy,
        "balanced-accuracy": figures.balanced_accuracy,
        "macro-f1": figures.macro_f1,
    }[monitor]
    quality, loss = (-math.inf if x is None or math.isnan(x) else x for x in (monitored, -figures.loss))
    return quality, loss
