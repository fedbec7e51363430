"""The figures that runs had after one of their epochs, in place of their last ones."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.results import Metric, rank
from cvexp.tracking.mlflow_errors import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

PER_EPOCH = (
    *(Metric.TRAIN_LOSS, Metric.TRAIN_ACCURACY, Metric.VAL_LOSS, Metric.VAL_ACCURACY),
    *(Metric.TEST_LOSS, Metric.TEST_ACCURACY),
)
"""Logged after each epoch; the test figures of a run with a validation part only after the last."""


def at_epoch(store: Store, run: RunSummary, epoch: int | None) -> RunSummary:
    """The run with the figures it had after `epoch`, or with None after the one with the best held-out accuracy.

    The held-out split is validation if the run has it, else test. Figures that were not logged after that epoch are
    left out; figures of the whole run, such as times and sizes, stay.

    Raises:
        StoreError: The store cannot be read.
    """
    keys = [key.value for key in PER_EPOCH if key in run.metrics]
    with translated(store.settings):
        points = {key: store.client.get_metric_history(run.run_id, key) for key in keys}
    values = {key: {point.step: point.value for point in points[key] if point.step > 0} for key in keys}
    chosen = _best_epoch(values) if epoch is None else epoch
    kept: dict[str, float] = {key: value for key, value in run.metrics.items() if key not in keys}
    return replace(run, metrics=kept | {key: found[chosen] for key, found in values.items() if chosen in found})


def _best_epoch(values: Mapping[str, Mapping[int, float]]) -> int:
    """The first epoch with the highest accuracy on the held-out split; -1 where no epoch was logged."""
    held_out = values.get(Metric.VAL_ACCURACY) or values.get(Metric.TEST_ACCURACY) or {}
    position = {epoch: rank({"accuracy": value}, "accuracy") for epoch, value in held_out.items()}
    return min(sorted(position), key=lambda epoch: position[epoch], default=-1)
