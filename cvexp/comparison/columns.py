"""Which columns a comparison shows: views, and columns by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.comparison.figures import FIGURES, find_figure
from cvexp.errors import ConfigError, nearest
from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

TEXTS = ("model", "settings", "front", "n", "seeds", "dataset", "device", "status", "when", "run")
"""Columns that are no metrics."""

_ALL = tuple(figure.key for figure in FIGURES)

USUAL = (
    *("model", "settings", "front", "dataset"),
    *(Metric.VAL_ACCURACY, Metric.TEST_ACCURACY, Metric.TEST_BALANCED_ACCURACY, Metric.TEST_LOSS),
    *(Metric.TRAIN_SECONDS, Metric.LATENCY_MS, Metric.IMAGES_PER_SECOND, Metric.PARAMETERS),
    *("device", "status", "when", "run"),
)
"""Without a view."""

VIEWS: dict[str, tuple[str, ...]] = {
    "accuracy": (
        *("model", "settings", "front", Metric.VAL_ACCURACY, Metric.TEST_ACCURACY, Metric.TEST_BALANCED_ACCURACY),
        *(Metric.TEST_MACRO_F1, Metric.VAL_LOSS, Metric.TEST_LOSS),
        *(Metric.TRAIN_ACCURACY, Metric.TRAIN_LOSS, "run"),
    ),
    "speed": (
        *("model", "settings", "front", Metric.TEST_ACCURACY, Metric.LATENCY_MS, Metric.LATENCY_P90_MS),
        *(Metric.BENCH_IMAGES_PER_SECOND, Metric.FIRST_CALL_MS, Metric.TRAIN_SECONDS, Metric.EPOCH_SECONDS_MEDIAN),
        *(Metric.SECONDS_TO_ACCURACY, Metric.IMAGES_PER_SECOND, "device", "run"),
    ),
    "size": (
        *("model", "settings", "front", Metric.TEST_ACCURACY, Metric.PARAMETERS, Metric.BYTES),
        *(Metric.PROCESS_PEAK_BYTES, Metric.DEVICE_PEAK_BYTES, "run"),
    ),
    "all": ("model", "settings", "front", "n", "seeds", "dataset", *_ALL, "device", "status", "when", "run"),
}


def choose_columns(
    columns: Sequence[str] | None, view: str | None, known: Collection[str], *, redundant: Collection[str] = ()
) -> tuple[str, ...]:
    """The columns asked for: names of TEXTS, and metric keys; those of a view that no run has are left out.

    `known` are the metric keys that any run has; those that are `redundant` are left out unless they are asked for.

    Raises:
        ConfigError: A column or the view is unknown, or both are asked for.
    """
    if columns is not None and view is not None:
        raise ConfigError("--columns and --view are given at once", "name the columns, or take a view")
    if view is not None and view not in VIEWS:
        raise ConfigError(f"--view {view}: unknown view", nearest(view, VIEWS))
    if columns is None:
        usual = [name for name in USUAL if name not in redundant] if view is None else VIEWS[view]
        return tuple(str(name) for name in usual if name in TEXTS or name in known)
    names = [name.strip() for name in columns if name.strip()]
    if not names:
        raise ConfigError("--columns names no column", "for example: --columns model,accuracy,latency_ms,run")
    return tuple(dict.fromkeys(_column(name, known) for name in names))


def _column(name: str, known: Collection[str]) -> str:
    if name in TEXTS:
        return name
    try:
        return find_figure(name, known, what="--columns").key
    except ConfigError:
        names = [*TEXTS, *(figure.names[0] for figure in FIGURES)]
        raise ConfigError(f"--columns: unknown column {name!r}", nearest(name, names)) from None
