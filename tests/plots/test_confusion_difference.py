from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from cvexp.plots.confusion_difference import confusion_difference
from cvexp.plots.files import DPI

MINUS = "\N{MINUS SIGN}"
NAMES = ("coat", "shirt", "bag")
DIFFERENCE = np.array([[12, -12, 0], [-3, 5, -2], [0, 0, 0]], dtype=float)


def drawn(difference=DIFFERENCE, names=NAMES, **how):
    return confusion_difference(difference, names, names=("new", "old"), title="digits: 90% and 88%", **how)


def test_the_picture_says_which_is_subtracted_from_which():
    figure = drawn()
    axes = figure.axes[0]
    assert axes.get_title() == "new\nminus old"
    assert "digits: 90% and 88%" in axes.get_xlabel()
    assert [text.get_text() for text in axes.texts] == [
        "+12",
        f"{MINUS}12",
        "0",
        f"{MINUS}3",
        "+5",
        f"{MINUS}2",
        "0",
        "0",
        "0",
    ]
    plt.close(figure)


@pytest.mark.parametrize("difference", [DIFFERENCE, np.abs(DIFFERENCE), np.zeros((3, 3))])
def test_colours_are_white_at_zero_and_as_strong_on_both_sides(difference):
    figure = drawn(difference)
    low, high = figure.axes[0].images[0].get_clim()
    assert low == -high < 0
    plt.close(figure)


def test_differences_of_shares_are_in_percentage_points():
    figure = drawn(DIFFERENCE / 100, normalize="true")
    axes, bar = figure.axes
    assert [text.get_text() for text in axes.texts][:2] == ["+12.0", f"{MINUS}12.0"]
    assert "percentage points of the share of the true class" in bar.get_ylabel()
    plt.close(figure)


def test_figures_that_could_not_be_read_are_left_out_and_the_picture_stays_small():
    figure = drawn(np.ones((100, 100)), [f"class {k}" for k in range(100)])
    assert not figure.axes[0].texts
    assert max(figure.get_size_inches() * DPI) < 3000
    plt.close(figure)
