"""Where in an image a model finds evidence for two classes: Grad-CAM, or the gradient by pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvexp.plots.grid import as_shown
from cvexp.plots.lettering import elided, lines_within
from cvexp.plots.style import INK, MUTED, ORANGE, RIGHT, WRONG, diverging, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_CELL, _GAP, _CAPTION, _EDGE, _BLOCK = 1.75, 0.12, 0.46, 0.2, 0.3
_TITLE, _SMALL = 12.0, 8.5
_LINE = 0.165
_SIDE_BY_SIDE = 3
"""Images below each other, above which there are two blocks of them."""

NOTHING = {False: "no evidence found", True: "the gradient is 0"}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ClassMaps:
    """One image with the evidence for two classes.

    Attributes:
        image: uint8 (C, H, W).
        name: Of the image.
        maps: float32 (2, H, W), for the classes; at least 0 in Grad-CAM.
        classes: For each, what to write above its map: the predicted class first.
        truth: The true class, where it is known.
        correct: Whether it is the predicted one; None where the truth is not known.
    """

    image: npt.NDArray[np.uint8]
    name: str
    maps: npt.NDArray[np.float32]
    classes: tuple[tuple[str, str], tuple[str, str]]
    truth: str | None = None
    correct: bool | None = None


def class_map_rows(found: Sequence[ClassMaps], *, title: str, how_to_read: str, signed: bool) -> Figure:
    """Draw each image beside its two maps.

    Args:
        found: At least one.
        title: Above.
        how_to_read: Below the title.
        signed: Whether the maps have values below 0; others are laid over the image.
    """
    import matplotlib.pyplot as plt

    n_blocks = 1 if len(found) <= _SIDE_BY_SIDE else 2
    n_rows = -(-len(found) // n_blocks)
    block = 3 * _CELL + 2 * _GAP
    width = 2 * _EDGE + n_blocks * block + (n_blocks - 1) * _BLOCK
    reading = lines_within(how_to_read, width - 2 * _EDGE, _SMALL)
    head = 0.42 + _LINE * len(reading) + 0.15
    height = head + n_rows * (_CELL + _CAPTION) + _EDGE
    figure = plt.figure(figsize=(width, height))
    left = _EDGE / width
    shown = elided(plain(title), width - 2 * _EDGE, _TITLE)
    figure.text(left, 1 - 0.12 / height, shown, va="top", fontsize=_TITLE, fontweight="bold", color=INK)
    figure.text(left, 1 - 0.42 / height, "\n".join(reading), va="top", fontsize=_SMALL, color=MUTED, linespacing=1.3)
    for k, one in enumerate(found):
        row, at = k // n_blocks, k % n_blocks
        top = height - head - row * (_CELL + _CAPTION) - _CAPTION
        mark, color = ("", INK) if one.correct is None else ("✓ ", RIGHT) if one.correct else ("✗ ", WRONG)
        (role, best), other = one.classes
        captions = [
            (one.name, f"true: {one.truth}" if one.truth else "", INK),
            (mark + role, best, color),
            (*other, INK),
        ]
        for column, (first, second, ink) in enumerate(captions):
            x = _EDGE + at * (block + _BLOCK) + column * (_CELL + _GAP)
            axes = figure.add_axes((x / width, (top - _CELL) / height, _CELL / width, _CELL / height))
            for line, text in enumerate((first, second)):
                fitted = elided(plain(text), _CELL, _SMALL)
                y = (top + 0.2 - line * _LINE) / height
                figure.text(x / width, y, fitted, fontsize=_SMALL, color=ink, fontweight="normal" if line else "bold")
            _draw(axes, one, column, signed=signed)
    return figure


def _draw(axes: Axes, one: ClassMaps, column: int, *, signed: bool) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_color("#CCCCCC")
    if not column:
        axes.imshow(as_shown(one.image), cmap="gray", vmin=0, vmax=255)
        return
    values = one.maps[column - 1]
    largest = float(np.abs(values).max())
    if signed:
        axes.imshow(values, cmap=diverging(), vmin=-(largest or 1), vmax=largest or 1)
    else:
        from matplotlib.colors import to_rgb

        grey = 0.25 + 0.5 * one.image.mean(axis=0)[..., None] / 255
        share = (values / (largest or 1))[..., None]
        axes.imshow((1 - share) * grey + share * np.array(to_rgb(ORANGE)))
    if not largest:
        axes.text(0.5, 0.5, NOTHING[signed], transform=axes.transAxes, ha="center", va="center", fontsize=_SMALL,
                  color=INK, bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85})  # fmt: skip
