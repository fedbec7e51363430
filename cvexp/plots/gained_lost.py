"""Test images that one of two models classifies correctly and the other does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.plots.grid import as_shown
from cvexp.plots.lettering import elided
from cvexp.plots.style import INK, MUTED, RIGHT, WRONG, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N_COLUMNS, N_ROWS = 6, 2
SHOWN = N_COLUMNS * N_ROWS
"""Images of each kind that a picture shows."""

_CELL_INCHES, _CAPTION, _HEADING, _TITLE, _EDGE = 1.7, 0.72, 0.4, 0.75, 0.2
_SIZE = 8.5


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangedImages:
    """Images that exactly one of models A and B classifies correctly.

    Attributes:
        images: uint8 (M, C, H, W); the first SHOWN are drawn.
        truth: M names of classes.
        predicted_a: M names of classes.
        predicted_b: M names of classes.
        n: How many there are in the test set, at least M.
    """

    images: npt.NDArray[np.uint8]
    truth: Sequence[str]
    predicted_a: Sequence[str]
    predicted_b: Sequence[str]
    n: int


def gained_and_lost(
    gained: ChangedImages, lost: ChangedImages, *, names: tuple[str, str], n_images: int, title: str
) -> Figure:
    """Draw images that only model B, and below them those that only model A classifies correctly.

    `names` are A's and B's; `n_images` is the size of the test set.
    """
    import matplotlib.pyplot as plt

    blocks = [(gained, "Gained: right in B, wrong in A", RIGHT), (lost, "Lost: right in A, wrong in B", WRONG)]
    heights = [_HEADING + max(1, _n_rows(block)) * (_CELL_INCHES + _CAPTION) if len(block.truth) else 2 * _HEADING
               for block, _, _ in blocks]  # fmt: skip
    width, height = N_COLUMNS * (_CELL_INCHES + _EDGE) + _EDGE, _TITLE + sum(heights) + _EDGE
    figure = plt.figure(figsize=(width, height))
    room = width - 2 * _EDGE
    a, b = (elided(plain(name), room / 2 - 0.4, 10) for name in names)
    figure.text(_EDGE / width, 1 - 0.12 / height, plain(title), va="top", fontsize=12.5, fontweight="bold", color=INK)
    figure.text(_EDGE / width, 1 - 0.4 / height, f"A: {a}    B: {b}", va="top", fontsize=10, color=MUTED)
    top = height - _TITLE
    for (block, words, color), block_height in zip(blocks, heights, strict=True):
        shown = min(len(block.truth), SHOWN)
        of = f"{block.n:,} of {n_images:,} test images" + (f", {shown} shown" if shown < block.n else "")
        figure.text(
            _EDGE / width, top / height, f"{words}: {of}", va="top", fontsize=11, fontweight="bold", color=color
        )
        for k in range(shown):
            row, column = divmod(k, N_COLUMNS)
            left = _EDGE + column * (_CELL_INCHES + _EDGE)
            bottom = top - _HEADING - row * (_CELL_INCHES + _CAPTION) - _CELL_INCHES + 0.1
            box = (left / width, bottom / height, _CELL_INCHES / width, _CELL_INCHES / height)
            _draw(figure.add_axes(box), block, k)
        top -= block_height
    return figure


def _n_rows(block: ChangedImages) -> int:
    return -(-min(len(block.truth), SHOWN) // N_COLUMNS)


def _draw(axes: Axes, block: ChangedImages, k: int) -> None:
    axes.imshow(as_shown(block.images[k]), cmap="gray", vmin=0, vmax=255)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#CCCCCC")
    truth = block.truth[k]
    lines = [("", truth, INK)]
    for letter, predicted in (("A", block.predicted_a[k]), ("B", block.predicted_b[k])):
        mark, color = ("✓", RIGHT) if predicted == truth else ("✗", WRONG)
        lines.append((f"{mark} {letter}: ", predicted, color))
    for row, (before, name, color) in enumerate(lines):
        text = elided(f"{before}{plain(name)}", _CELL_INCHES, _SIZE)
        weight = "normal" if before else "bold"
        y = -0.03 - row * 0.165 / _CELL_INCHES
        axes.text(0, y, text, transform=axes.transAxes, va="top", fontsize=_SIZE, color=color, fontweight=weight)
