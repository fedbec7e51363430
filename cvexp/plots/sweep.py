"""Pictures of a sweep: how the best figure grew, and which settings matter."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING, Literal

import numpy as np

from cvexp.plots.axes import frame, percent_axis
from cvexp.plots.style import BLUE, FAINT, INK, MUTED, OFF, ORANGE, plain, shortened

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

REACH = 3.0
"""How far below the best the axis reaches, in distances from the best to the median of the finished trials."""

_NARROWEST = 0.01
_BAR_INCHES = 0.42


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialPoint:
    """A trial's number, and its figure after its last epoch; None for one that failed."""

    number: int
    value: float | None
    state: Literal["finished", "pruned", "failed"]


def history(points: Sequence[TrialPoint], *, figure: str, maximize: bool, title: str) -> Figure:
    """Draw each trial's figure over its number, and the best of the finished ones so far.

    Trials that are far worse than most are drawn at the edge. `figure` names the figure on the axis; accuracies are
    fractions.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator

    drawn, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    low, high = _limits([p.value for p in points if p.value is not None and p.state == "finished"], maximize=maximize)
    _draw(axes, points, "pruned", low, high, color=OFF, marker="x", label="pruned")
    _draw(axes, points, "finished", low, high, color=BLUE, marker="o", label="finished")
    finished = sorted(_known(points, "finished"))
    sign = 1 if maximize else -1
    best = [sign * value for value in accumulate((sign * value for _, value in finished), max)]
    numbers = [number for number, _ in finished]
    last = max(p.number for p in points)
    axes.step([*numbers, last], [*best, *best[-1:]], where="post", color=ORANGE, linewidth=1.8, label="best so far")
    failed = [p.number for p in points if p.value is None or not math.isfinite(p.value)]
    if failed:
        edge = low if maximize else high
        axes.plot(failed, [edge] * len(failed), "|", color=INK, markersize=10, label="failed", clip_on=False)
    frame(axes, "left", "bottom")
    axes.set_ylim(low, high)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if figure.endswith("accuracy"):
        percent_axis(axes.yaxis, (low, high))
    axes.set_xlabel("trial", fontsize=9, color=INK)
    axes.set_ylabel(plain(figure), fontsize=9, color=INK)
    drawn.legend(
        fontsize=8.5, frameon=False, loc="outside lower center", ncols=len(axes.get_legend_handles_labels()[1])
    )
    axes.set_title(plain(title), fontsize=10.5, loc="left", color=INK)
    return drawn


def _known(points: Sequence[TrialPoint], state: str) -> list[tuple[int, float]]:
    """Number and figure of the trials in a state whose figure is a finite number."""
    return [(p.number, p.value) for p in points if p.state == state and p.value is not None and math.isfinite(p.value)]


def _limits(values: Sequence[float], *, maximize: bool) -> tuple[float, float]:
    known = [value for value in values if math.isfinite(value)] or [0.0]
    best = max(known) if maximize else min(known)
    spread = max(abs(best - float(np.median(known))), _NARROWEST)
    far = max(abs(best - value) for value in known)
    reach, margin = min(REACH * spread, max(far, spread)), 0.15 * spread
    return (best - reach - margin, best + margin) if maximize else (best - margin, best + reach + margin)


def _draw(
    axes: Axes,
    points: Sequence[TrialPoint],
    state: str,
    low: float,
    high: float,
    *,
    color: str,
    marker: Literal["x", "o"],
    label: str,
) -> None:
    own = _known(points, state)
    near = [(number, value) for number, value in own if low <= value <= high]
    beyond = [(number, low if value < low else high) for number, value in own if not low <= value <= high]
    if near:
        numbers, values = zip(*near, strict=True)
        axes.scatter(numbers, values, color=color, marker=marker, s=30, label=label)
    if beyond:
        down = beyond[0][1] == low
        text = f"{label}, {'below' if down else 'above'} the axis"
        numbers, values = zip(*beyond, strict=True)
        axes.scatter(
            numbers, values, color=color, marker="v" if down else "^", s=26, clip_on=False, zorder=3, label=text
        )


def importance(shares: Mapping[str, float], *, method: str, title: str) -> Figure:
    """Draw the settings' shares as bars, the largest at the top; `method` says what they are, below the picture."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    names, values = [*shares][::-1], [*shares.values()][::-1]
    drawn, axes = plt.subplots(figsize=(8, 1.5 + _BAR_INCHES * len(names)), layout="constrained")
    axes.barh([shortened(name) for name in names], values, color=BLUE, height=0.6)
    for row, value in enumerate(values):
        axes.text(value, row, f" {value:.0%}", va="center", fontsize=8.5, color=MUTED)
    frame(axes, "left", "bottom")
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x", color=FAINT)
    axes.set_xlim(0, min(1.12, 1.15 * max(values)))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title(plain(title), fontsize=10.5, loc="left", color=INK)
    axes.set_xlabel(plain(method), fontsize=8, color=MUTED)
    return drawn
