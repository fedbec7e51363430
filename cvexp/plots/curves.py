"""Loss and accuracy over epochs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.plots.style import BLUE, ORANGE, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cvexp.results import EpochMetrics


def curves(history: Sequence[EpochMetrics], *, title: str) -> Figure:
    """Draw loss and accuracy over epochs, training beside the held-out split."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, (losses, accuracies) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    epochs = [e.epoch for e in history]
    held_out = history[0].held_out_name
    _lines(losses, epochs, [e.train.loss for e in history], [e.held_out.metrics.loss for e in history], held_out)
    train, test = [e.train.accuracy for e in history], [e.held_out.metrics.accuracy for e in history]
    _lines(accuracies, epochs, train, test, held_out)
    losses.set_title("loss (nats per image)")
    accuracies.set_title("accuracy")
    accuracies.yaxis.set_major_formatter(PercentFormatter(1.0))
    for axes in (losses, accuracies):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(visible=True, alpha=0.3)
        axes.legend()
    figure.suptitle(plain(title))
    return figure


def _lines(axes: Axes, epochs: list[int], train: list[float], held_out: list[float], held_out_name: str) -> None:
    axes.plot(epochs, train, color=BLUE, marker="o", label="train")
    axes.plot(epochs, held_out, color=ORANGE, marker="s", linestyle="--", label=held_out_name)
