"""Runs side by side: bars of accuracy, and accuracy against training time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvexp.plots.style import BLUE, GREEN, GREY, ORANGE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_GAP_PIXELS = 15
LABELS_IN_A_CROWD = 10
FEWEST_BARS = 5  # fewer are drawn as thick as if there were so many


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Runs that were measured on the same test images.

    Attributes:
        title: Which images; empty where all runs share them.
        names: Of the first runs, short enough for a label; the rest is drawn without names, and has no bars.
        accuracies: Fractions, finite, the highest first.
        train_seconds: Comparable within one of `groups` only.
        groups: The letters of the runs' conditions.
    """

    title: str
    names: Sequence[str]
    accuracies: Sequence[float]
    train_seconds: Sequence[float]
    groups: Sequence[str]


def accuracy_and_time(panels: Sequence[Panel]) -> Figure:
    """Draw the course's bar chart of accuracy beside accuracy against training time, a row for each test set."""
    import matplotlib.pyplot as plt

    heights = [max(3.5, 0.4 * len(panel.names) + 1.5) for panel in panels]
    figure, rows = plt.subplots(len(panels), 2, height_ratios=heights, layout="constrained", squeeze=False)
    figure.set_size_inches(11, sum(heights))
    for panel, (bars, scatter) in zip(panels, rows, strict=True):
        _bars(bars, panel)
        _scatter(scatter, panel)
    figure.canvas.draw()  # computes the layout, and with it the pixel positions of points
    figure.set_layout_engine("none")
    for panel, (_, scatter) in zip(panels, rows, strict=True):
        crowded = len(panel.accuracies) > len(panel.names)
        named = panel.names[:LABELS_IN_A_CROWD] if crowded else panel.names
        _label_points(scatter, named, panel.train_seconds, panel.accuracies)
    return figure


def _titled(title: str, panel: Panel) -> str:
    return f"{title}, {panel.title}" if panel.title else title


def _bars(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import PercentFormatter

    n_bars = len(panel.names)
    accuracies = list(panel.accuracies[:n_bars])[::-1]
    drawn = axes.barh(range(n_bars), accuracies, color=BLUE)
    axes.set_yticks(range(n_bars), list(panel.names)[::-1])
    axes.bar_label(drawn, labels=[f"{accuracy:.2%}" for accuracy in accuracies], padding=3)
    spare = max(0, FEWEST_BARS - n_bars) / 2
    axes.set_ylim(-0.6 - spare, n_bars - 0.4 + spare)
    axes.set_xlim(0, 1.15)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    n_runs = len(panel.accuracies)
    best = f" (best {n_bars} of {n_runs:,} runs)" if n_runs > n_bars else ""
    axes.set_title(_titled("test accuracy", panel) + best)


def _scatter(axes: Axes, panel: Panel) -> None:
    from matplotlib.ticker import PercentFormatter

    n_named = len(panel.names)
    seconds, accuracies = np.asarray(panel.train_seconds), np.asarray(panel.accuracies)
    if len(accuracies) > n_named:
        axes.scatter(seconds[n_named:], accuracies[n_named:], marker=".", color=GREY, alpha=0.4, s=20)
    markers, colors = "osD^vP*X", (BLUE, ORANGE, GREEN, GREY)
    groups = sorted(set(panel.groups[:n_named]))
    for k, group in enumerate(groups):
        members = [i for i in range(n_named) if panel.groups[i] == group]
        marker, color = markers[k % len(markers)], colors[k % len(colors)]
        axes.scatter(
            seconds[members], accuracies[members], marker=marker, color=color, s=60, label=f"conditions {group}"
        )
    several = len(set(panel.groups)) > 1
    axes.margins(x=0.25, y=0.2)
    axes.set_xticks([tick for tick in axes.get_xticks() if 0 <= tick <= axes.get_xlim()[1]])
    axes.set_xlabel("training time, seconds" + (" (comparable within one marker only)" if several else ""))
    axes.set_ylabel("test accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_title(_titled("accuracy against training time", panel))
    axes.grid(visible=True, alpha=0.3)
    if several and len(groups) <= len(markers):
        axes.legend(loc="lower right")


def _label_points(axes: Axes, names: Sequence[str], xs: Sequence[float], ys: Sequence[float]) -> None:
    """Write names beside points from the top down; of two that overlap, the lower one moves down or is left out."""
    pixels = axes.transData.transform(list(zip(xs, ys, strict=True))[: len(names)])
    to_points = 72 / axes.figure.dpi
    (left, bottom), (right, top) = axes.transAxes.transform([(0, 0), (1, 1)])
    free = np.inf
    for i in np.argsort(-pixels[:, 1], kind="stable"):
        half = LABEL_GAP_PIXELS * (1 + names[i].count("\n")) / 2
        height = min(pixels[i, 1], top - half, free - half)
        if height < bottom + half:
            return
        free = height - half
        on_right = pixels[i, 0] < (left + right) / 2
        axes.annotate(
            names[i],
            (xs[i], ys[i]),
            xytext=(14 if on_right else -14, (height - pixels[i, 1]) * to_points),
            textcoords="offset points",
            ha="left" if on_right else "right",
            va="center",
            fontsize=9,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkB": 4},
        )
