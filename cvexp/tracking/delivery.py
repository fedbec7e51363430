"""When a run was last written to its store: what changed since then can be asked for.

A start or an end says little about that: the records of a run may wait for days in a journal, and figures are added to
runs that ended long ago. MLflow's filters compare numbers of metrics only, so that the time is a metric.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Metric

DELIVERED = "tracking/delivered_at"
"""The metric with the time at which a process last wrote what a report may show, in seconds since the Unix epoch."""


def delivered_now() -> Metric:
    """The figure to write with, or after, the last of the records."""
    from mlflow.entities import Metric

    now = time.time()
    return Metric(DELIVERED, now, int(now * 1000), 0)
