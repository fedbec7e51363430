from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cvexp.plots.charts import STATUS_WORDS, Chart, Panel, Point, Score
from cvexp.plots.files import as_svg
from cvexp.plots.tradeoff import CROSSES, one_panel, tradeoff


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def chart(n, *, statuses=("on",), title="", interval=0.002, name="model {k} with hidden_units={k} and a long name"):
    """So many models, better and slower from the last to the first."""
    draw = np.random.default_rng(n)
    accuracies = np.sort(draw.uniform(0.8, 0.9, n))[::-1]
    costs = np.sort(draw.lognormal(3, 1, n))[::-1]
    scores = [
        Score(label=name.format(k=k), accuracy=a, low=a - interval, high=a + interval, n=5) if interval else
        Score(label=name.format(k=k), accuracy=a)
        for k, a in enumerate(map(float, accuracies))
    ]  # fmt: skip
    points = [
        Point(score=k, cost=c, low=0.9 * c, high=1.1 * c, status=statuses[k % len(statuses)])
        for k, c in enumerate(map(float, costs))
    ]
    panel = Panel(
        title="Accuracy against training time",
        cost="training time (seconds)",
        conditions="Trained on a CPU, 2 threads, batch 32.",
        points=tuple(points),
    )
    return Chart(title=title, scores=tuple(scores), panels=(panel,))


def texts(figure, prefix=""):
    """Text artists whose gid starts so."""
    return [
        text for text in figure.findobj(plt.Text) if str(text.get_gid() or "").startswith(prefix) and text.get_text()
    ]


def panels(figure):
    return [axes for axes in figure.axes if axes.get_ylabel() == "test accuracy"]


def boxes_of(labels):
    return [label.get_window_extent() for label in labels]


@pytest.mark.parametrize("n", [1, 2, 5, 14, pytest.param(40, marks=pytest.mark.slow)])
def test_every_point_is_named_or_numbered_inside_its_panel_and_no_two_labels_overlap(n):
    figure = tradeoff([chart(n)])
    (axes,) = panels(figure)
    labels = texts(axes, "label-")
    assert sorted(int(label.get_gid().partition("-")[2]) for label in labels) == list(range(n))
    boxes = boxes_of(labels)
    frame = axes.get_window_extent().padded(1)
    assert all(frame.contains(*box.min) and frame.contains(*box.max) for box in boxes)
    for k, box in enumerate(boxes):
        assert not any(box.padded(-1).overlaps(other.padded(-1)) for other in boxes[k + 1 :])
    named = {text.get_text() for text in texts(figure)}
    numbers = {label.get_text() for label in labels if label.get_text().isdigit()}
    assert numbers <= named  # the ranking explains them


@pytest.mark.parametrize("n", [1, 14])
def test_nothing_is_cut_off_at_the_edge_of_the_figure(n):
    figure = tradeoff([chart(n, title="a test set", statuses=tuple(STATUS_WORDS))], notes=["A note. " * 40])
    drawn, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(drawn.min) >= 0
    assert drawn.x1 <= width
    assert drawn.y1 <= height


def test_the_picture_says_its_conditions_what_crosses_are_and_what_markers_mean():
    figure = tradeoff([chart(4, statuses=tuple(STATUS_WORDS))], notes=["The picture shows 4 of 9 models."])
    said = " ".join(" ".join(text.get_text().split()) for text in texts(figure))
    for sentence in (
        "Trained on a CPU, 2 threads, batch 32.",
        CROSSES,
        "The picture shows 4 of 9 models.",
        "not from overlap",
    ):
        assert sentence in said
    assert all(words in said for words in STATUS_WORDS.values())
    assert "Verdicts come from paired intervals" in said


def test_statuses_are_told_apart_by_shape_and_filling():
    (axes,) = panels(tradeoff([chart(4, statuses=tuple(STATUS_WORDS))]))
    marks = {
        line.get_gid().partition("-")[0]: line
        for line in axes.lines
        if line.get_gid() in {f"{s}-{k}" for k, s in enumerate(STATUS_WORDS)}
    }
    assert marks["undecided"].get_markerfacecolor() == "white"
    assert (
        marks["on"].get_markerfacecolor()
        == marks["on"].get_markeredgecolor()
        == marks["undecided"].get_markeredgecolor()
    )
    assert marks["off"].get_markerfacecolor() != marks["on"].get_markerfacecolor()
    assert [marks[status].get_marker() for status in STATUS_WORDS] == ["o", "o", "o", "x"]


def test_the_front_is_a_step_line_through_the_points_on_it():
    drawn = chart(3, statuses=("on", "off", "on"))
    (axes,) = panels(tradeoff([drawn]))
    (front,) = [line for line in axes.lines if line.get_gid() == "front"]
    (fast, slow) = drawn.panels[0].points[2], drawn.panels[0].points[0]
    low, high = drawn.scores[2].accuracy, drawn.scores[0].accuracy
    corners = front.get_xydata()[1:-1]
    assert np.allclose(corners, [(fast.cost, low), (slow.cost, low), (slow.cost, high)])


def test_a_single_run_has_no_cross():
    (axes,) = panels(tradeoff([chart(3, interval=0)]))
    assert not [line for line in axes.lines if line.get_gid() is None and np.ptp(line.get_ydata()) > 0]
    (with_intervals,) = panels(tradeoff([chart(3)]))
    assert len([line for line in with_intervals.lines if line.get_gid() is None and np.ptp(line.get_ydata()) > 0]) == 3


def test_a_collapsed_model_does_not_squeeze_the_others_and_its_accuracy_is_said():
    drawn = chart(5)
    far = replace(drawn, scores=(*drawn.scores[:4], replace(drawn.scores[4], accuracy=0.1, low=None, high=None)))
    (axes,) = panels(tradeoff([far]))
    assert axes.get_ylim()[0] > 0.5
    assert any("10.0%, below this axis" in label.get_text() for label in texts(axes, "label-"))


@pytest.mark.parametrize("alone", [False, True], ids=["in a picture", "a panel of a page"])
@pytest.mark.parametrize(
    ("costs", "scale"),
    [((10.0, 12.0), "linear"), ((0.07, 0.08), "linear"), ((1.0, 50.0), "log"), ((0.001, 30.0), "log")],
)
def test_the_axis_is_logarithmic_where_costs_differ_by_a_factor_and_its_ticks_do_not_overlap(costs, scale, alone):
    drawn = chart(2)
    points = tuple(replace(p, cost=c, low=None, high=None) for p, c in zip(drawn.panels[0].points, costs, strict=True))
    panel = replace(drawn.panels[0], points=points)
    drawn = replace(drawn, panels=(panel,))
    (axes,) = panels(one_panel(drawn, panel) if alone else tradeoff([drawn]))
    assert axes.get_xscale() == scale
    ticks = [
        tick for tick in axes.get_xticklabels() if tick.get_text() and axes.get_xlim()[0] <= tick.get_position()[0]
    ]
    boxes = sorted((tick.get_window_extent() for tick in ticks), key=lambda box: box.x0)
    assert len(boxes) >= 2
    assert all(a.x1 + 4 < b.x0 for a, b in pairwise(boxes))  # pixels


def test_test_sets_and_conditions_have_panels_of_their_own():
    two = replace(chart(3, title="digits"), panels=(chart(3).panels[0], replace(chart(3).panels[0], title="other")))
    figure = tradeoff([two, chart(2, title="mnist-5k")])
    assert len(panels(figure)) == 3
    assert {"digits", "mnist-5k"} <= {text.get_text() for text in figure.texts}


def test_models_without_any_cost_are_still_ranked():
    figure = tradeoff([replace(chart(3), panels=())])
    assert len(figure.axes) == 1
    assert sum("(n=5)" in text.get_text() for text in texts(figure)) == 3


def test_one_panel_names_below_it_what_it_only_numbers():
    drawn = chart(14)
    figure = one_panel(drawn, drawn.panels[0])
    said = "\n".join(text.get_text() for text in texts(figure, "key"))
    numbers = [label.get_text() for label in texts(figure, "label-") if label.get_text().isdigit()]
    assert numbers
    assert sorted(line.split()[0] for line in said.split("\n")) == sorted(numbers)


def test_a_figure_as_svg_is_the_same_every_time_and_let_go_of():
    drawn = chart(2, name="--> </svg><script>{k}</script>")
    first, second = (as_svg(one_panel(drawn, drawn.panels[0])) for _ in range(2))
    assert first == second
    assert first.startswith(b"<?xml")
    assert b"<script" not in first
    assert not plt.get_fignums()
