"""Axes of pictures of models: limits that leave outliers out, ticks at round numbers, a quiet frame."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cvexp.plots.style import FAINT, INK, MUTED, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.axis import Axis

    from cvexp.plots.charts import Panel, Score

LOG_FROM_RATIO = 3.0
NARROWEST_ACCURACIES = 0.01
FAR = 4.0
"""Scores that stretch the axis this many times are drawn at its edge, with their accuracy in words."""

_FEW_FAR = 0.25
_LEAST_SHARE = 0.01
"""Of a cost: an interval that reaches lower, or below 0, is cut off there on a logarithmic axis."""

_STEPS = (
    (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9),
    (1, 1.5, 2, 3, 4, 5, 7),
    (1, 2, 5),
    (1, 3),
    (1,),
)
_MOST_TICKS = 7
_LINEAR_STEPS = 5


def accuracy_limits(scores: Sequence[Score]) -> tuple[float, float]:
    """Limits of an axis for the accuracies; a few that are far below the others are beyond them.

    An interval widens the limits by no more than the accuracies' own range, and is cut off there.
    """
    means = sorted(score.accuracy for score in scores)
    for n_far in range(int(_FEW_FAR * len(means)), 0, -1):
        near = means[-1] - means[n_far]
        if means[n_far] - means[n_far - 1] > FAR * max(near, NARROWEST_ACCURACIES):
            means = means[n_far:]
            break
    near_scores = [score for score in scores if score.accuracy >= means[0]]
    lows = [score.accuracy if score.low is None else score.low for score in near_scores]
    highs = [score.accuracy if score.high is None else score.high for score in near_scores]
    low, high = _limits(means, lows, highs, narrowest=NARROWEST_ACCURACIES)
    return max(low, -0.02), min(high, 1.02)


def _limits(
    means: Sequence[float], lows: Sequence[float], highs: Sequence[float], *, narrowest: float
) -> tuple[float, float]:
    span = max(max(means) - min(means), narrowest)
    low = max(min(lows), min(means) - span)
    high = min(max(highs), max(means) + span)
    missing = max(0.0, narrowest - (high - low)) / 2
    margin = 0.1 * max(high - low, narrowest)
    return low - missing - margin, high + missing + margin


def cost_axis(axes: Axes, panel: Panel) -> None:
    """Limits and ticks; logarithmic where the costs differ by a factor."""
    costs = [point.cost for point in panel.points]
    is_log = max(costs) / min(costs) > LOG_FROM_RATIO
    scale = math.log10 if is_log else float
    means = [scale(cost) for cost in costs]
    lows = [scale(p.cost if p.low is None else max(p.low, _LEAST_SHARE * p.cost)) for p in panel.points]
    highs = [scale(p.cost if p.high is None else p.high) for p in panel.points]
    narrowest = 0.3 if is_log else 0.2 * max(costs)
    low, high = _limits(means, lows, highs, narrowest=narrowest)
    spare = 0.08 * (high - low)  # names are wider than high
    low, high = low - spare, high + spare
    if is_log:
        axes.set_xscale("log")
        low, high = 10**low, 10**high
        ticks = log_ticks(low, high)
        axes.set_xticks(ticks, [f"{tick:,.10g}" for tick in ticks])
        axes.set_xticks([], minor=True)
    else:
        from matplotlib.ticker import MaxNLocator

        low = max(low, 0.0)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=_LINEAR_STEPS, steps=[1, 2, 5, 10]))  # few and short numbers
    axes.set_xlim(low, high)
    axes.set_xlabel(f"{plain(panel.cost)}{', log scale' if is_log else ''}", fontsize=9, color=INK)


def log_ticks(low: float, high: float) -> list[float]:
    """At most seven round numbers in [low, high], evenly spread on a logarithmic axis."""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks: list[float] = []
    for steps in _STEPS:
        ticks = [float(f"{step}e{e}") for e in exponents for step in steps if low <= step * 10.0**e <= high]
        if len(ticks) <= _MOST_TICKS:
            return ticks
    return ticks[:: -(-len(ticks) // _MOST_TICKS)]


def frame(axes: Axes, *sides: str) -> None:
    """Lines on the named sides only, and a faint grid."""
    axes.grid(visible=True, axis="x" if sides == ("bottom",) else "both", color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=MUTED, length=3)
    for name, spine in axes.spines.items():
        spine.set_visible(name in sides)
        spine.set_color("#999999")


def percent_axis(axis: Axis, limits: tuple[float, float], *, most: int = 6) -> None:
    """Ticks of an axis of fractions as percentages, with the decimals that tell them apart."""
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    ticks = [
        tick for tick in MaxNLocator(most, steps=[1, 2, 5, 10]).tick_values(*limits) if limits[0] <= tick <= limits[1]
    ]
    decimals = next((d for d in range(3) if all(abs(round(100 * t, d) - 100 * t) < 1e-6 for t in ticks)), 3)  # noqa: PLR2004
    axis.set_ticks(ticks)
    axis.set_major_formatter(PercentFormatter(1.0, decimals=decimals))
