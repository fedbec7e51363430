"""What trials, points and figures are called."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.config.option import as_typed
from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.config.sweep import Point, Sweep
    from cvexp.jobs.trials import Trial

SHORT = {
    "val/accuracy": "val acc",
    "val/balanced_accuracy": "balanced acc",
    "val/macro_f1": "macro F1",
    "val/loss": "val loss",
    "parameters": "params",
    "macs": "MACs",
}
"""Of every figure that a sweep may be for."""

_LARGE = 1e4


def name_of(trial: Trial) -> str:
    """What a trial is called; a repeat with its seed."""
    return f"trial {trial.number}" + (f" seed {trial.seed}" if trial.confirms else "")


def figures_of(sweep: Sweep, metrics: Mapping[str, float]) -> str:
    """The goal's figure, and the validation figures."""
    keys = dict.fromkeys([sweep.goal.figure, Metric.VAL_ACCURACY.value, Metric.VAL_LOSS.value])
    return " ".join(f"{SHORT[key]} {shown_figure(key, metrics[key])}" for key in keys if key in metrics)


def point_of(sweep: Sweep, point: Point) -> str:
    """A point as one would type it."""
    return " ".join(f"{name}={value_of(point[name])}" for name in sweep.space if name in point)


def state_of(trial: Trial) -> str:
    """What became of a trial, in a word or two."""
    if trial.state == "pruned":
        return f"pruned at {trial.epochs}" if trial.epochs else "pruned"
    return "trained elsewhere" if trial.state == "elsewhere" else trial.state


def value_of(value: object) -> str:
    """A setting's value, short."""
    return f"{value:g}" if isinstance(value, float) else as_typed(value)


def shown_figure(figure: str, value: float) -> str:
    """A goal's figure: accuracies in percent, counts with separators, others with four decimals unless huge."""
    if figure.endswith("accuracy"):
        return f"{value:.2%}"
    if figure.startswith("val/"):
        return f"{value:.4f}" if abs(value) < _LARGE else f"{value:.3g}"
    return f"{value:,.0f}"
