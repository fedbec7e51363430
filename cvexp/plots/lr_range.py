"""Loss over learning rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.plots.style import BLUE, ORANGE, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

HEADROOM = 1.3
"""How far above the first loss the picture reaches: a diverging one leaves it."""


def lr_range(
    rates: Sequence[float], losses: Sequence[float], smooth: Sequence[float], *, chosen: float | None, title: str
) -> Figure:
    """Draw the loss of each step over its rate, smoothed too, and the rate that is suggested, if one is."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 4.5), layout="constrained")
    axes.plot(rates, losses, color=BLUE, alpha=0.3, label="each step")
    axes.plot(rates, smooth, color=BLUE, label="smoothed")
    if chosen is not None:
        axes.axvline(chosen, color=ORANGE, linestyle="--", label=f"suggested: {chosen:g}")
    axes.set_xscale("log")
    axes.set_ylim(0, HEADROOM * max(losses[0], min(smooth)))
    axes.set_xlabel("learning rate")
    axes.set_ylabel("training loss (nats per image)")
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    axes.set_title(plain(title))
    return figure
