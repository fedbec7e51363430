"""The difference of two confusion matrices."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cvexp.plots.confusion import MAX_MATRIX_INCHES, SHARES, SMALLEST_FONT, UPRIGHT_FROM
from cvexp.plots.style import INK, MUTED, plain, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = "PuOr"  # orange below and purple above zero, told apart by every kind of colour vision (ColorBrewer)
_LONGEST_NAME = 40
_SHORT_NAME = 3
_DARK = 0.6


def confusion_difference(
    difference: npt.NDArray[np.float64],
    class_names: Sequence[str],
    *,
    names: tuple[str, str],
    title: str,
    normalize: str = "none",
) -> Figure:
    """Draw one confusion matrix minus another, true classes as rows, in colours that are white at zero.

    With many classes, cells shrink, and figures that could not be read are left out.

    Args:
        difference: (K, K) images, or shares in [-1, 1].
        class_names: K of them.
        names: Of the model, and of the one that was subtracted.
        title: Above the picture.
        normalize: As for `confusion_matrix`.
    """
    import matplotlib.pyplot as plt

    n_classes = len(class_names)
    cell = min(0.75, MAX_MATRIX_INCHES / n_classes)
    side = max(4.0, cell * n_classes)
    figure, axes = plt.subplots(figsize=(side + 2.5, side + 1.5), layout="constrained")
    whole = normalize == "none"
    shown = difference if whole else 100 * difference
    largest = float(np.abs(shown).max()) or 1.0
    image = axes.imshow(shown, cmap=COLORS, vmin=-largest, vmax=largest)
    unit = "images" if whole else f"percentage points of the {SHARES[normalize]}"
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03)
    bar.set_label(f"difference: {unit}", color=INK)
    bar.outline.set_visible(False)
    _name_classes(axes, class_names, cell)
    _write_figures(axes, shown, largest, 72 * cell * 0.3, form="+.0f" if whole else "+.1f")
    a, b = (plain(name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…") for name in names)
    axes.set_title(f"{a}\nminus {b}", fontsize=12, color=INK)
    axes.set_xlabel(
        f"predicted class\n\n{plain(title)}\npurple: more of the first; orange: fewer.\n"
        "On the diagonal more is better, elsewhere fewer.",
        color=MUTED,
    )
    axes.set_ylabel("true class", color=MUTED)
    return figure


def _name_classes(axes: Axes, class_names: Sequence[str], cell: float) -> None:
    n_classes = len(class_names)
    shown = [shortened(name) for name in class_names]
    size = max(SMALLEST_FONT, min(10.0, 72 * cell * 0.8))
    rotation = 90 if n_classes > UPRIGHT_FROM else 45 if max(map(len, shown)) > _SHORT_NAME else 0
    slanted = rotation == 45  # noqa: PLR2004 - half of upright
    axes.set_xticks(
        range(n_classes),
        shown,
        rotation=rotation,
        ha="right" if slanted else "center",
        rotation_mode="anchor" if slanted else "default",
        fontsize=size,
    )
    axes.set_yticks(range(n_classes), shown, fontsize=size)
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(n_classes + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n_classes + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=min(1.5, 2 * cell))
    axes.tick_params(which="minor", length=0)
    axes.spines[:].set_visible(False)


def _write_figures(axes: Axes, difference: npt.NDArray[np.float64], largest: float, font: float, *, form: str) -> None:
    if font < SMALLEST_FONT:
        return
    for (row, column), value in np.ndenumerate(difference):
        text = format(value, form)
        color = "white" if abs(value) > _DARK * largest else INK if float(text) else "#AAAAAA"
        shown = text.replace("-", "−") if float(text) else text.lstrip("+-")  # noqa: RUF001 - a minus sign
        axes.text(column, row, shown, ha="center", va="center", fontsize=min(10.0, font), color=color)
