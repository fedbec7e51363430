"""Every point of a run's metrics, and the figures that runs had after one of their epochs."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from cvexp.errors import RunError
from cvexp.events import MetricsLogged, RunEnded, SeriesLogged
from cvexp.results import Metric, rank
from cvexp.tracking.journal import Journal
from cvexp.tracking.local import folder_of
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.rows import logged_figure
from cvexp.tracking.store import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.store import Store

PER_EPOCH = (
    *(Metric.TRAIN_LOSS, Metric.TRAIN_ACCURACY, Metric.VAL_LOSS, Metric.VAL_ACCURACY, Metric.TEST_LOSS),
    *(Metric.TEST_ACCURACY, Metric.VAL_BALANCED_ACCURACY, Metric.VAL_MACRO_F1, Metric.TEST_BALANCED_ACCURACY),
    Metric.TEST_MACRO_F1,
)
"""Logged after each epoch; the test figures of a run with a validation part only after the last."""


class Point(NamedTuple):
    """A metric's value at a step, which is the epoch or 0 for the whole run; `at` in milliseconds since 1970."""

    step: int
    value: float
    at: int


def history(settings: StoreSettings, run: RunSummary) -> dict[str, tuple[Point, ...]]:
    """Every point of every metric of a run, by metric key and step; from its journal where the store has no such run.

    Raises:
        RunError: The run's journal is damaged, or gone.
        StoreError: The store cannot be read.
    """
    if not run.experiment_id:
        if (folder := folder_of(settings, run.run_id)) is None:
            raise RunError(f"run {run.name} left nothing in {settings.state_dir}", "look in the store instead")
        return _journal_history(Journal(folder))
    store = open_store(settings, create=False)
    with translated(settings):
        found = {key: store.client.get_metric_history(run.run_id, key) for key in sorted(run.metrics)}
    return {
        key: tuple(sorted(Point(one.step, logged_figure(one.value), one.timestamp) for one in points))
        for key, points in found.items()
    }


def history_of(settings: StoreSettings, run_id: str, key: str) -> dict[int, float]:
    """A metric of a run by step, the last value of each: from its journal here, else from the store.

    Raises:
        StoreError: The store cannot be read.
    """
    points: Sequence[Point] = ()
    with contextlib.suppress(RunError):
        if (folder := folder_of(settings, run_id)) is not None:
            points = _journal_history(Journal(folder)).get(key, ())
    if not points:
        store = open_store(settings, create=False)
        with translated(settings):
            logged = store.client.get_metric_history(run_id, key)
        points = [Point(one.step, logged_figure(one.value), one.timestamp) for one in logged]
    return {point.step: point.value for point in sorted(points, key=lambda point: point.at) if point.step > 0}


def _journal_history(journal: Journal) -> dict[str, tuple[Point, ...]]:
    found: dict[str, list[Point]] = {}
    for record in journal.records:
        match record.event:
            case MetricsLogged(values=values, step=step):
                points = [(key, step, value) for key, value in values.items()]
            case SeriesLogged(key=key, points=series):
                points = [(key, step, value) for step, value in series]
            case RunEnded(metrics=values):
                points = [(key, 0, value) for key, value in values.items()]
            case _:
                points = []
        for key, step, value in points:
            found.setdefault(key, []).append(Point(step, value, record.at))
    return {key: tuple(sorted(found[key])) for key in sorted(found)}


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
