from __future__ import annotations

import math

import pytest

from cvexp.plots.sweep import TrialPoint, history, importance


def points(values, state="finished", first=0):
    return [TrialPoint(number=n, value=value, state=state) for n, value in enumerate(values, first)]


def line(axes, label):
    return next(one for one in axes.get_lines() if one.get_label() == label)


@pytest.fixture(autouse=True)
def _closed():
    yield
    import matplotlib.pyplot as plt

    plt.close("all")


def test_the_best_so_far_never_falls_and_pruned_trials_are_marked_apart():
    drawn = history(
        [*points([0.80, 0.85, 0.83]), *points([0.99], "pruned", 3), *points([0.86], first=4)],
        figure="val/accuracy",
        maximize=True,
        title="$x$",
    )
    (axes,) = drawn.axes
    assert list(line(axes, "best so far").get_ydata()) == [0.80, 0.85, 0.85, 0.86, 0.86]
    labels = axes.get_legend_handles_labels()[1]
    assert {"finished", "best so far"} < set(labels)
    assert any(label.startswith("pruned") for label in labels)


def test_losses_fall_and_trials_far_off_are_at_the_edge():
    drawn = history(points([0.5, 0.4, 0.45, 90.0, 0.42, math.nan]), figure="val/loss", maximize=False, title="a sweep")
    (axes,) = drawn.axes
    assert list(line(axes, "best so far").get_ydata())[:2] == [0.5, 0.4]
    assert axes.get_ylim()[1] < 2
    labels = axes.get_legend_handles_labels()[1]
    assert "finished, above the axis" in labels
    assert "failed" in labels


def test_the_most_important_setting_is_at_the_top():
    (axes,) = importance({"lr": 0.7, "hidden_units": 0.3}, method="by luck", title="a sweep").axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["hidden_units", "lr"]
    assert [bar.get_width() for bar in axes.patches] == [0.3, 0.7]
    assert axes.get_xlabel() == "by luck"
