"""Models from the most accurate to the least, each with its interval and its figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.plots.axes import accuracy_limits, frame, percent_axis
from cvexp.plots.lettering import elided, text_inches
from cvexp.plots.style import BLUE, INK, MUTED, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes

    from cvexp.plots.charts import Chart, Score

NAME_SIZE = 9.0
WIDEST_NAMES = 3.0
_DOTS = 1.9
_PAD = 0.2
_ROUNDING = 0.01


def ranking_columns(charts: Sequence[Sequence[Score]]) -> tuple[float, float, float]:
    """Inches that the names, the dots and the figures of the charts' scores need."""
    scores = [score for chart in charts for score in chart]
    names = max((text_inches(plain(score.label), NAME_SIZE) for score in scores), default=0.0)
    names += _digits(max(map(len, charts), default=0))
    values = max((text_inches(figures(score), NAME_SIZE) for score in scores), default=0.0)
    return min(WIDEST_NAMES, names) + _PAD, _DOTS, values + _PAD


def _digits(n_scores: int) -> float:
    """Inches for the numbers of so many scores."""
    return text_inches("0" * len(str(n_scores)) + "00", NAME_SIZE)


def figures(score: Score) -> str:
    """A score in words: `91.03% ± 0.21 (n=5)`, the half-width in points."""
    interval = "" if score.low is None or score.high is None else f" ± {100 * (score.high - score.low) / 2:.2f}"
    note = f", {score.note}" if score.note else ""
    return f"{score.accuracy:.2%}{interval} (n={score.n}{note})"


def draw_ranking(axes: Axes, chart: Chart, *, names: float, numbered: set[int]) -> None:
    """Draw the scores of a chart from the top down, with their names in the `names` inches to the left of the axes.

    Where panels had only room for the numbers of some, all names have their numbers here.
    """
    scores = chart.scores
    limits = accuracy_limits(scores)
    axes.set_xlim(limits)
    axes.set_ylim(len(scores) - 0.5, -0.5)
    percent_axis(axes.xaxis, limits)
    axes.set_yticks([])
    frame(axes, "bottom")
    digits = _digits(len(scores))
    width = axes.get_window_extent().width / axes.figure.dpi
    for row, score in enumerate(scores):
        is_far = score.accuracy < limits[0]
        shown = limits[0] + 0.03 * (limits[1] - limits[0]) if is_far else score.accuracy
        if score.low is not None and score.high is not None and not is_far:
            axes.plot([score.low, score.high], [row, row], color=BLUE, linewidth=1.6, alpha=0.75)
        axes.plot([shown], [row], marker="<" if is_far else "o", markersize=5.5, color=BLUE)
        at = axes.get_yaxis_transform()
        style: dict[str, Any] = {"transform": at, "va": "center_baseline", "fontsize": NAME_SIZE}
        indent = digits if numbered else 0.0
        if numbered:
            axes.text((digits * 0.7 - names) / width, row, f"{row + 1}", ha="right", color=MUTED, **style)
        name = elided(plain(score.label), names - _PAD - indent + _ROUNDING, NAME_SIZE)
        axes.text((indent - names) / width, row, name, color=INK, gid=f"name-{row}", **style)
        at_right = 1 + _PAD / 2 / width
        axes.text(at_right, row, figures(score), color=INK, **style)
    title = axes.set_title(chart.quality.capitalize(), loc="left", fontsize=10.5, fontweight="bold", color=INK)
    title.set_x(-names / width)
