"""Loss and accuracy over epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.plots.style import BLUE, ORANGE, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from cvexp.results import EpochMetrics


def curves(history: Sequence[EpochMetrics], *, title: str) -> Figure:
    """Draw loss and accuracy over epochs, training beside the held-out split."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, (losses, accuracies) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    epochs = [e.epoch for e in history]
    for axes, name, heading in ((losses, "loss", "loss (nats per image)"), (accuracies, "accuracy", "accuracy")):
        train = [getattr(e.train, name) for e in history]
        held_out = [getattr(e.held_out.metrics, name) for e in history]
        axes.plot(epochs, train, color=BLUE, marker="o", label="train")
        axes.plot(epochs, held_out, color=ORANGE, marker="s", linestyle="--", label=history[0].held_out_name)
        axes.set_title(heading, y=1.0)  # where it is anyway; matplotlib would look for ticks above
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0))
    figure.suptitle(plain(title))
    return figure
