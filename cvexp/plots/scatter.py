"""One panel of accuracy against cost: points with intervals, the front as a step line, and labels that fit."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.plots.axes import cost_axis, frame, percent_axis
from cvexp.plots.labels import leader, place
from cvexp.plots.lettering import in_two_lines
from cvexp.plots.style import BLUE, INK, MUTED, OFF, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes

    from cvexp.plots.charts import Chart, Panel, Point, Score, Status

LABEL_INCHES, LABEL_SIZE = 1.75, 8.5
_MARKER_PIXELS = 7.0
_ORDER = {"on": 0, "undecided": 1, "off": 2, "unplaced": 3}


def draw_panel(axes: Axes, panel: Panel, chart: Chart, limits: tuple[float, float]) -> set[int]:
    """Draw a panel of a chart, and give the indices of the scores for whose names there was only room for a number."""
    scores = chart.scores
    axes.set_ylim(limits)
    percent_axis(axes.yaxis, limits)
    cost_axis(axes, panel)
    axes.set_ylabel(chart.quality, fontsize=9, color=INK)
    frame(axes, "left", "bottom")
    points = sorted(panel.points, key=lambda point: (_ORDER[point.status], -scores[point.score].accuracy))
    front = _front(axes, points, scores)
    for point in reversed(points):
        _mark(axes, point, scores[point.score])
    return _label(axes, points, scores, front)


def _shown_accuracy(axes: Axes, score: Score) -> float:
    """The height a score is drawn at: its accuracy, or the lower edge."""
    low, high = axes.get_ylim()
    return max(score.accuracy, low + 0.03 * (high - low)) if score.accuracy < low else score.accuracy


def _front(axes: Axes, points: Sequence[Point], scores: Sequence[Score]) -> list[tuple[float, float]]:
    """The corners of the best accuracy that each cost buys, as steps through the points on the front; drawn too."""
    steps: list[tuple[float, float]] = []
    for point in sorted((p for p in points if p.status == "on"), key=lambda p: (p.cost, -scores[p.score].accuracy)):
        accuracy = scores[point.score].accuracy
        if not steps or accuracy > steps[-1][1]:
            steps.append((point.cost, accuracy))
    if not steps:
        return []
    corners = [(steps[0][0], axes.get_ylim()[0]), steps[0]]
    for cost, accuracy in steps[1:]:
        corners += [(cost, corners[-1][1]), (cost, accuracy)]
    corners.append((axes.get_xlim()[1], corners[-1][1]))
    axes.plot(*zip(*corners, strict=True), color=BLUE, linewidth=1.4, alpha=0.45, zorder=1.5, gid="front")
    return corners


def _mark(axes: Axes, point: Point, score: Score) -> None:
    color = _color(point)
    is_far = score.accuracy < axes.get_ylim()[0]
    height = _shown_accuracy(axes, score)
    if point.low is not None and point.high is not None:
        axes.plot([point.low, point.high], [height, height], color=color, linewidth=1.6, alpha=0.75, zorder=2)
    if score.low is not None and score.high is not None and not is_far:
        axes.plot([point.cost, point.cost], [score.low, score.high], color=color, linewidth=1.6, alpha=0.75, zorder=2)
    style = marker_style(point.status) | ({"marker": "v"} if is_far else {})
    axes.plot(
        [point.cost],
        [height],
        linestyle="",
        zorder=4 if color == BLUE else 3,
        gid=f"{point.status}-{point.score}",
        **style,
    )


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


def _label(
    axes: Axes, points: Sequence[Point], scores: Sequence[Score], front: Sequence[tuple[float, float]]
) -> set[int]:
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
    lines = _line_boxes(axes, points, named, front)
    numbered: set[int] = set()
    while True:
        shown = [f"{p.score + 1}" if p.score in numbered else text for p, text in zip(points, texts, strict=True)]
        # Numbers first: they need little room, and there is nothing shorter to write instead.
        order = sorted(range(len(points)), key=lambda k: points[k].score not in numbered)
        boxes = _placed(axes, [shown[k] for k in order], anchors[order], lines)
        without = {points[k].score for k, box in zip(order, boxes, strict=True) if box is None} - numbered
        if not without:
            break
        numbered |= without
    for k, box in zip(order, boxes, strict=True):
        if box is not None:
            color = MUTED if _color(points[k]) == OFF else INK
            _write(axes, shown[k], anchors[k], box, color=color, gid=f"label-{points[k].score}")
    return numbered


def _placed(
    axes: Axes, texts: Sequence[str], anchors: npt.NDArray[np.float64], lines: npt.NDArray[np.float64]
) -> list[npt.NDArray[np.float64] | None]:
    (left, bottom), (right, top) = axes.transAxes.transform([(0, 0), (1, 1)])
    return place(
        [_size(axes, text) for text in texts],
        anchors,
        markers=np.hstack([anchors - _MARKER_PIXELS, anchors + _MARKER_PIXELS]),
        lines=lines,
        bounds=(left + 2, bottom + 2, right - 2, top - 2),
    )


def _size(axes: Axes, text: str) -> tuple[float, float]:
    """Width and height of a text in pixels."""
    drawn = axes.text(0, 0, text, fontsize=LABEL_SIZE, linespacing=1.1)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width, box.height


def _line_boxes(
    axes: Axes, points: Sequence[Point], scores: Sequence[Score], front: Sequence[tuple[float, float]]
) -> npt.NDArray[np.float64]:
    """Thin boxes in pixels around the intervals and the front."""
    ends: list[list[tuple[float, float]]] = []
    for point, score in zip(points, scores, strict=True):
        y = _shown_accuracy(axes, score)
        if point.low is not None and point.high is not None:
            ends.append([(max(point.low, point.cost / 100), y), (point.high, y)])
        if score.low is not None and score.high is not None:
            ends.append([(point.cost, score.low), (point.cost, score.high)])
    ends += [[a, b] for a, b in pairwise(front)]
    if not ends:
        return np.empty((0, 4))
    pixels = axes.transData.transform(np.array(ends).reshape(-1, 2)).reshape(-1, 2, 2)
    return np.hstack([pixels.min(axis=1) - 1, pixels.max(axis=1) + 1])


def _write(
    axes: Axes, text: str, anchor: npt.NDArray[np.float64], box: npt.NDArray[np.float64], *, color: str, gid: str
) -> None:
    """Write a label into its box; other renderers' letters may be wider, and are so away from the point."""
    inverse = axes.transData.inverted()
    near = leader(anchor, box)
    if np.hypot(*(near - anchor)) > 2 * _MARKER_PIXELS:
        ends = inverse.transform([anchor, near])
        axes.plot(ends[:, 0], ends[:, 1], color="#999999", linewidth=0.7, zorder=2.5, gid=f"leader-{gid}")
    left, bottom, right, top = box
    side, edge = ("left", left) if left > anchor[0] else ("right", right) if right < anchor[0] else ("center", None)
    x, y = inverse.transform((edge if edge is not None else (left + right) / 2, (bottom + top) / 2))
    axes.text(
        x,
        y,
        text,
        ha=side,
        va="center",
        multialignment="center",
        fontsize=LABEL_SIZE,
        linespacing=1.1,
        color=color,
        zorder=5,
        gid=gid,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.6},
    )
