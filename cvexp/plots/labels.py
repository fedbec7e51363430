"""Where labels of points go: inside the axes, clear of markers and of each other, close to their points."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Boxes = npt.NDArray[np.float64]  # (M, 4): left, bottom, right, top in pixels

GAPS = (11.0, 18.0, 28.0, 45.0, 67.0, 96.0)
"""Pixels between a point and the edge of its label, the nearest first."""

CROWD, GAPS_IN_A_CROWD = 9, 4
"""With more labels than this, those that would be far from their points are left out."""

# Directions from the point to its label, the most readable first.
_DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 0.6), (1, -0.6), (-1, 0.6), (-1, -0.6), (0.5, 1), (0.5, -1),
               (-0.5, 1), (-0.5, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))  # fmt: skip
_SWEEPS = 3
_NEVER = 1e6
_CROSSED_LINE = 3.0
_CROSSED_LABEL = 8.0


def place(
    sizes: Sequence[tuple[float, float]], anchors: Boxes, *, markers: Boxes, lines: Boxes, bounds: Sequence[float]
) -> list[npt.NDArray[np.float64] | None]:
    """Boxes for labels of the given sizes, the first label with the first choice; None for one that fits nowhere.

    All in pixels. No box overlaps a marker or another box, or leaves the bounds; lines are avoided where possible.

    Args:
        sizes: Width and height of each of the N labels.
        anchors: (N, 2), the points they belong to.
        markers: (M, 4) boxes that no label covers, those of the N points first.
        lines: (L, 4) thin boxes, such as error bars.
        bounds: Left, bottom, right, top.
    """
    placed: list[npt.NDArray[np.float64] | None] = [None] * len(sizes)
    gaps = GAPS if len(sizes) <= CROWD else GAPS[:GAPS_IN_A_CROWD]
    candidates = [_candidates(anchor, size, gaps) for anchor, size in zip(anchors, sizes, strict=True)]
    fixed = [
        _fixed_costs(boxes, anchor, own=k, markers=markers, lines=lines, bounds=bounds)
        for k, (boxes, anchor) in enumerate(zip(candidates, anchors, strict=True))
    ]
    for _ in range(_SWEEPS):  # a label placed later may have left a better place to an earlier one
        for k, boxes in enumerate(candidates):
            others = np.array([box for j, box in enumerate(placed) if j != k and box is not None]).reshape(-1, 4)
            crossed = _crossings(anchors[k], boxes, others)
            costs = fixed[k] + _NEVER * overlaps(boxes, others).any(axis=1) + _CROSSED_LABEL * crossed
            best = int(np.argmin(costs))
            placed[k] = boxes[best] if costs[best] < _NEVER else None
    return placed


def overlaps(boxes: Boxes, others: Boxes, *, gap: float = 2.0) -> npt.NDArray[np.bool_]:
    """Which of the boxes (N, 4) come closer than `gap` to which of the others (M, 4): (N, M)."""
    a, b = boxes[:, None], others[None]
    apart = (a[..., 0] >= b[..., 2] + gap) | (b[..., 0] >= a[..., 2] + gap)
    apart |= (a[..., 1] >= b[..., 3] + gap) | (b[..., 1] >= a[..., 3] + gap)
    return np.asarray(~apart, dtype=np.bool_)


def leader(anchor: npt.NDArray[np.float64], box: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The point of the box's edge (left, bottom, right, top) that is nearest to the anchor."""
    return np.clip(anchor, box[:2], box[2:])


def _candidates(anchor: npt.NDArray[np.float64], size: tuple[float, float], gaps: Sequence[float]) -> Boxes:
    half = np.array(size) / 2
    shifts = np.array([(np.array(way) * (half + gap)) for gap in gaps for way in _DIRECTIONS])
    centres = anchor + shifts
    return np.hstack([centres - half, centres + half])


def _fixed_costs(
    boxes: Boxes, anchor: npt.NDArray[np.float64], *, own: int, markers: Boxes, lines: Boxes, bounds: Sequence[float]
) -> npt.NDArray[np.float64]:
    """What each box costs whatever the other labels do; `_NEVER` for those that are ruled out."""
    left, bottom, right, top = bounds
    outside = (boxes[:, 0] < left) | (boxes[:, 1] < bottom) | (boxes[:, 2] > right) | (boxes[:, 3] > top)
    covers = overlaps(boxes, markers).any(axis=1)
    rings, ways = np.divmod(np.arange(len(boxes)), len(_DIRECTIONS))
    crossed = overlaps(boxes, lines, gap=1.0).sum(axis=1)
    others = markers[~overlaps(markers[own : own + 1], markers)[0]]  # of those it lies on top of, none can be passed
    far = 2.5 * rings + 0.15 * ways + _CROSSED_LINE * crossed
    misleads = _crossings(anchor, boxes, others) > 0  # the label would seem to belong to another point
    costs = far + _NEVER * (outside | covers | misleads)
    return np.asarray(costs, dtype=np.float64)


def _crossings(anchor: npt.NDArray[np.float64], boxes: Boxes, obstacles: Boxes) -> npt.NDArray[np.float64]:
    """How many obstacles the straight line from the anchor to each box passes, (N,)."""
    ends = np.clip(anchor, boxes[:, :2], boxes[:, 2:])
    steps = np.linspace(0, 1, 12)[None, :, None]
    points = anchor + steps * (ends - anchor)[:, None]  # (N, 12, 2)
    inside = (points[:, :, None] >= obstacles[None, None, :, :2]) & (points[:, :, None] <= obstacles[None, None, :, 2:])
    touched = np.any(np.all(inside, axis=-1), axis=1)  # (N, M)
    return np.asarray(touched.sum(axis=1), dtype=np.float64)
