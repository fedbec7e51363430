from __future__ import annotations

import numpy as np
import pytest

from cvexp.calibration import calibration
from cvexp.plots.reliability import N_COLUMNS, reliability_diagram


@pytest.fixture
def drawn():
    rng = np.random.default_rng(0)
    confidence = rng.beta(4, 1.2, size=3000)
    found = calibration(confidence, rng.random(3000) < confidence**1.5)
    figure = reliability_diagram(found, confidence, title="run $a on digits", brier=0.25, log_loss=0.5)
    return found, confidence, figure


def test_points_are_the_bins_and_columns_count_the_images(drawn):
    found, confidence, figure = drawn
    points, masses = figure.axes
    (line,) = [line for line in points.lines if line.get_marker() == "o"]
    assert np.allclose(line.get_xdata(), [one.confidence for one in found.bins])
    assert np.allclose(line.get_ydata(), [one.accuracy for one in found.bins])
    (bars,) = [bars for bars in points.containers if hasattr(bars, "has_yerr")]
    ends = np.array([[y for _, y in segment] for segment in bars.lines[2][0].get_segments()])
    assert np.allclose(ends, [(one.accuracy_low, one.accuracy_high) for one in found.bins])
    heights = [column.get_height() for column in masses.patches]
    assert (len(heights), sum(heights)) == (N_COLUMNS, len(confidence))


def test_the_picture_says_how_it_was_made(drawn):
    found, _, figure = drawn
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    for said in (
        f"ECE {found.error:.2%}",
        "Brier 0.2500",
        "log-loss 0.5000",
        "15 bins",
        "below the line: overconfident",
    ):
        assert said in words
    assert figure.axes[0].get_title() == r"run \$a on digits"
