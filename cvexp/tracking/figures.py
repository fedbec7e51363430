"""Add figures and tags to a run that has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cvexp.tracking.delivery import delivered_now
from cvexp.tracking.mlflow_errors import translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store


def add_figures(
    store: Store, run: RunSummary, figures: Mapping[str, float], *, tags: Mapping[str, str] | None = None
) -> None:
    """Log figures of the whole run, by metric key; where a key has a value already, this later one counts.

    Raises:
        StoreError: They cannot be written.
    """
    from mlflow.entities import Metric

    from cvexp.tracking import mlflow_sink

    now = time.time_ns() // 1_000_000
    with translated(store.settings):
        store.client.log_batch(
            run.run_id,
            metrics=[*(Metric(key, value, now, 0) for key, value in figures.items()), delivered_now()],
            tags=mlflow_sink.tags(tags or {}),
        )
