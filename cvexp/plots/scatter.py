"""One panel of accuracy against cost: points with intervals, the front as a step line, and labels that fit."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.plots.labels import leader, place
from cvexp.plots.lettering import in_two_lines
from cvexp.plots.style import BLUE, FAINT, INK, MUTED, OFF, percent_axis, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from cvexp.plots.tradeoff import Panel, Point, Score, Status

LABEL_INCHES, LABEL_SIZE = 1.75, 8.5
LOG_FROM_RATIO = 3.0
NARROWEST_ACCURACIES = 0.01
FAR = 4.0
"""Scores that stretch the axis this many times are drawn at its edge, with their accuracy in words."""

_FEW_FAR = 0.25
_MARKER_PIXELS = 6.0
_ORDER = {"on": 0, "undecided": 1, "off": 2, "unplaced": 3}
_STEPS = ((1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9), (1, 1.5, 2, 3, 4, 5, 7), (1, 2, 5), (1, 3), (1,))
_MOST_TICKS = 7


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


def draw_panel(axes: Axes, panel: Panel, scores: Sequence[Score], limits: tuple[float, float]) -> set[int]:
    """Draw a panel, and give the indices of the scores for whose names there was no room: their number stands there."""
    axes.set_ylim(limits)
    percent_axis(axes.yaxis, limits)
    _cost_axis(axes, panel)
    axes.set_ylabel("test accuracy", fontsize=9, color=INK)
    axes.grid(visible=True, color=FAINT, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5, colors=MUTED, length=3)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    points = sorted(panel.points, key=lambda point: (_ORDER[point.status], -scores[point.score].accuracy))
    _front(axes, points, scores)
    for point in reversed(points):
        _mark(axes, point, scores[point.score])
    return _label(axes, points, scores)


def _cost_axis(axes: Axes, panel: Panel) -> None:
    """Limits and ticks; logarithmic where the costs differ by a factor."""
    costs = [point.cost for point in panel.points]
    is_log = max(costs) / min(costs) > LOG_FROM_RATIO
    scale = math.log10 if is_log else float
    means = [scale(cost) for cost in costs]
    lows = [scale(p.cost if p.low is None else max(p.low, p.cost / 100)) for p in panel.points]
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
        low = max(low, 0.0)
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


def _shown_accuracy(axes: Axes, score: Score) -> float:
    """The height a score is drawn at: its accuracy, or the lower edge."""
    low, high = axes.get_ylim()
    return max(score.accuracy, low + 0.03 * (high - low)) if score.accuracy < low else score.accuracy


def _front(axes: Axes, points: Sequence[Point], scores: Sequence[Score]) -> None:
    """The best accuracy that each cost buys, as steps through the points on the front."""
    steps: list[tuple[float, float]] = []
    for point in sorted((p for p in points if p.status == "on"), key=lambda p: (p.cost, -scores[p.score].accuracy)):
        accuracy = scores[point.score].accuracy
        if not steps or accuracy > steps[-1][1]:
            steps.append((point.cost, accuracy))
    if not steps:
        return
    low, right = axes.get_ylim()[0], axes.get_xlim()[1]
    xs = [steps[0][0], *(cost for cost, _ in steps), right]
    ys = [low, *(accuracy for _, accuracy in steps), steps[-1][1]]
    axes.plot(xs, ys, drawstyle="steps-post", color=BLUE, linewidth=1.4, alpha=0.45, zorder=1.5, gid="front")


def _mark(axes: Axes, point: Point, score: Score) -> None:
    color = _color(point)
    is_far = score.accuracy < axes.get_ylim()[0]
    height = _shown_accuracy(axes, score)
    if point.low is not None and point.high is not None:
        axes.plot([point.low, point.high], [height, height], color=color, linewidth=1.6, alpha=0.75, zorder=2)
    if score.low is not None and score.high is not None and not is_far:
        axes.plot([point.cost, point.cost], [score.low, score.high], color=color, linewidth=1.6, alpha=0.75, zorder=2)
    style = marker_style(point.status) | ({"marker": "v"} if is_far else {})
    axes.plot([point.cost], [height], linestyle="", zorder=4 if color == BLUE else 3, gid=point.status, **style)


def _color(point: Point) -> str:
    return BLUE if point.status in ("on", "undecided") else OFF


def marker_style(status: Status) -> dict[str, Any]:
    """How the points of a status are drawn: told apart by shape and filling too, not by colour alone."""
    if status == "unplaced":
        return {"marker": "x", "markersize": 6.5, "markeredgecolor": OFF, "markeredgewidth": 1.6}
    edge = OFF if status == "off" else BLUE
    face = "white" if status == "undecided" else edge
    return {
        "marker": "o",
        "markersize": 5.5 if status == "off" else 6.5,
        "markerfacecolor": face,
        "markeredgecolor": edge,
        "markeredgewidth": 1.4,
    }


def _label(axes: Axes, points: Sequence[Point], scores: Sequence[Score]) -> set[int]:
    """Write names where they fit, else numbers, and give the indices of the numbered scores."""
    named = [scores[point.score] for point in points]
    heights = [_shown_accuracy(axes, score) for score in named]
    anchors = axes.transData.transform([(p.cost, y) for p, y in zip(points, heights, strict=True)])
    low = axes.get_ylim()[0]
    texts = [
        in_two_lines(plain(score.label), LABEL_INCHES, LABEL_SIZE)
        + (f"\n{score.accuracy:.1%}, below this axis" if score.accuracy < low else "")
        for score in named
    ]
    boxes = _placed(axes, texts, anchors, points, named)
    numbered = {point.score for point, box in zip(points, boxes, strict=True) if box is None}
    if numbered:
        texts = [f"{p.score + 1}" if p.score in numbered else text for p, text in zip(points, texts, strict=True)]
        boxes = _placed(axes, texts, anchors, points, named)
    for point, text, anchor, box in zip(points, texts, anchors, boxes, strict=True):
        if box is not None:
            _write(axes, text, anchor, box, muted=_color(point) == OFF)
    return numbered


def _placed(
    axes: Axes, texts: Sequence[str], anchors: npt.NDArray[np.float64], points: Sequence[Point], scores: Sequence[Score]
) -> list[npt.NDArray[np.float64] | None]:
    (left, bottom), (right, top) = axes.transAxes.transform([(0, 0), (1, 1)])
    return place(
        [_size(axes, text) for text in texts],
        anchors,
        markers=np.hstack([anchors - _MARKER_PIXELS, anchors + _MARKER_PIXELS]),
        lines=_line_boxes(axes, points, scores),
        bounds=(left + 2, bottom + 2, right - 2, top - 2),
    )


def _size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height of a text in pixels."""
    drawn = axes.text(0, 0, text, fontsize=LABEL_SIZE, linespacing=1.1)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width, box.height


def _line_boxes(axes: Axes, points: Sequence[Point], scores: Sequence[Score]) -> npt.NDArray[np.float64]:
    """Thin boxes in pixels around the intervals and the front."""
    ends = []
    for point, score in zip(points, scores, strict=True):
        y = _shown_accuracy(axes, score)
        if point.low is not None and point.high is not None:
            ends.append([(max(point.low, point.cost / 100), y), (point.high, y)])
        if score.low is not None and score.high is not None:
            ends.append([(point.cost, score.low), (point.cost, score.high)])
    for line in axes.lines:
        if line.get_gid() == "front":
            corners = line.get_path().vertices if line.get_drawstyle() == "default" else _corners(line.get_xydata())
            ends += [[tuple(a), tuple(b)] for a, b in zip(corners[:-1], corners[1:], strict=True)]
    if not ends:
        return np.empty((0, 4))
    pixels = axes.transData.transform(np.array(ends).reshape(-1, 2)).reshape(-1, 2, 2)
    return np.hstack([pixels.min(axis=1) - 1, pixels.max(axis=1) + 1])


def _corners(steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The corners of a line that is drawn as steps, each level kept until the next."""
    between = np.column_stack([steps[1:, 0], steps[:-1, 1]])
    return np.vstack([steps[:1], np.stack([between, steps[1:]], axis=1).reshape(-1, 2)])


def _write(axes: Axes, text: str, anchor: npt.NDArray[np.float64], box: npt.NDArray[np.float64], *, muted: bool) -> None:
    inverse = axes.transData.inverted()
    centre = inverse.transform((box[:2] + box[2:]) / 2)
    near = leader(anchor, box)
    if np.hypot(*(near - anchor)) > 2 * _MARKER_PIXELS:
        ends = inverse.transform([anchor, near])
        axes.plot(ends[:, 0], ends[:, 1], color="#999999", linewidth=0.7, zorder=2.5, gid="leader")
    axes.text(
        *centre,
        text,
        ha="center",
        va="center",
        fontsize=LABEL_SIZE,
        linespacing=1.1,
        color=MUTED if muted else INK,
        zorder=5,
        gid="label",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
    )
