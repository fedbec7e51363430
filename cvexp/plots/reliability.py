"""A reliability diagram."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cvexp.plots.style import BLUE, GREY, ORANGE, plain

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from cvexp.calibration import Calibration

N_COLUMNS = 50
"""Of the histogram."""


def reliability_diagram(
    found: Calibration, confidence: npt.NDArray[np.float64], *, title: str, brier: float, log_loss: float
) -> Figure:
    """Draw accuracy against confidence, a point a bin, above a histogram of confidence.

    Points on the diagonal are calibrated; below it the model is surer than it is right.

    Args:
        found: Its bins become points with their 95% intervals.
        confidence: float64 (N,) in [0, 1], the predicted class's probability of every image.
        title: Above the picture.
        brier: The mean Brier score, which the picture states beside the calibration error.
        log_loss: The mean log-loss, nats, likewise.
    """
    import matplotlib.pyplot as plt
    from matplotlib.ticker import PercentFormatter

    bins = found.bins
    figure, (points, masses) = plt.subplots(
        2, 1, figsize=(6.4, 7.2), sharex=True, height_ratios=(4, 1), layout="constrained"
    )
    points.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="calibrated")
    x, y = np.array([one.confidence for one in bins]), np.array([one.accuracy for one in bins])
    ends = np.array([[one.accuracy_low, one.accuracy_high] for one in bins])
    points.errorbar(x, y, yerr=np.abs(ends.T - y), color=BLUE, marker="o", markersize=5, linewidth=1, capsize=2)
    points.set_ylabel("accuracy")
    points.set_ylim(-0.02, 1.02)
    box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
    points.annotate("below the line: overconfident", (0.97, 0.03), xycoords="axes fraction", ha="right", bbox=box)
    lines = [
        f"ECE {found.error:.2%} (95%: {found.low:.2%} to {found.high:.2%})",
        f"Brier {brier:.4f}, log-loss {log_loss:.4f}",
        f"mean confidence {found.confidence:.2%} (dotted)",
        f"{len(bins)} bins of about equally many images, 95% intervals",
    ]
    points.annotate("\n".join(lines), (0.03, 0.97), xycoords="axes fraction", va="top", fontsize=9, bbox=box)
    masses.hist(confidence, bins=N_COLUMNS, range=(0, 1), color=BLUE)
    masses.set_ylabel("images")
    masses.set_xlabel("confidence: probability of the predicted class")
    for axes in (points, masses):
        axes.axvline(found.confidence, color=ORANGE, linestyle=":", linewidth=1.5)
        axes.grid(visible=True, alpha=0.3)
        axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    points.yaxis.set_major_formatter(PercentFormatter(1.0))
    points.set_title(plain(title), fontsize=11)
    return figure
