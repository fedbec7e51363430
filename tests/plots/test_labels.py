from __future__ import annotations

import numpy as np

from cvexp.plots.labels import overlaps, place

BOUNDS = (0.0, 0.0, 600.0, 400.0)
NO_LINES = np.empty((0, 4))


def around(points, half=6.0):
    return np.hstack([points - half, points + half])


def test_labels_stay_inside_and_cover_neither_points_nor_each_other():
    points = np.random.default_rng(1).uniform((20, 20), (580, 380), (9, 2))
    markers = around(points)
    placed = place([(90, 14)] * 9, points, markers=markers, lines=NO_LINES, bounds=BOUNDS)
    boxes = np.array([box for box in placed if box is not None])
    assert len(boxes) == 9
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 2:] <= BOUNDS[2:]).all()
    assert not overlaps(boxes, markers).any()
    assert (overlaps(boxes, boxes) == np.eye(9, dtype=bool)).all()


def test_a_label_that_fits_nowhere_is_left_out():
    points = np.array([[300.0, 200.0]])
    assert place([(700, 14)], points, markers=around(points), lines=NO_LINES, bounds=BOUNDS) == [None]
    crowd = np.array([[300.0, 200.0], [304.0, 200.0], [300.0, 204.0]])
    placed = place([(500, 300)] * 3, crowd, markers=around(crowd), lines=NO_LINES, bounds=BOUNDS)
    assert placed == [None, None, None]


def test_a_label_avoids_lines_where_it_can():
    points = np.array([[300.0, 200.0]])
    (free,) = place([(90, 14)], points, markers=around(points), lines=NO_LINES, bounds=BOUNDS)
    assert free[0] > 300  # on the right, where one looks first
    line = np.array([[300.0, 199.0, 600.0, 201.0]])
    (moved,) = place([(90, 14)], points, markers=around(points), lines=line, bounds=BOUNDS)
    assert not overlaps(moved[None], line, gap=0).any()


def test_no_leader_passes_over_another_point():
    points = np.array([[300.0, 200.0], [300.0, 216.0]])
    below, above = place([(90, 14)] * 2, points, markers=around(points), lines=NO_LINES, bounds=BOUNDS)
    assert below[1] < above[1]
