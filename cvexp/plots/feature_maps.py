"""The maps that a network's layers make of one image: a row for each layer, after the CNN Explainer's overview.

See Wang et al., CNN Explainer, 2020 (poloclub.github.io/cnn-explainer).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cvexp.plots.grid import as_shown
from cvexp.plots.lettering import elided, lines_within
from cvexp.plots.style import INK, MUTED, diverging, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.figure import Figure

    from cvexp.inference.feature_maps import Layer

WHAT = {
    "convolution": "each map adds up small windows of all maps above, by learnt weights",
    "activation": "values below 0 become 0, or nearly",
    "pooling": "one value for each window: maps get smaller",
    "normalization": "each map is shifted and scaled",
    "layer": "",
    "stage": "what all layers of this part make of the maps above",
}
OF_MODULE = {"ReLU": "values below 0 become 0", "MaxPool2d": "the largest value of each window: maps get smaller"}
"""Where more can be said of a module than of its kind."""

HOW_TO_READ = (
    "Blue is below 0, white 0, orange above. The figure at the end of a row is its deepest colour; an activation or a "
    "pooling keeps that of the row above. Rows with as many maps show the same ones, one below the other."
)

_CELL, _GAP, _LABEL, _SCALE, _EDGE = 0.74, 0.06, 2.75, 0.55, 0.15
_TITLE, _SMALL = 12.0, 8.0
_LINE = 0.155
_PIXELS = 178
"""On a side of a map: twice those of the file."""

_FRAME = (204, 204, 204, 255)


def feature_map_rows(layers: Sequence[Layer], image: npt.NDArray[np.uint8], *, title: str) -> Figure:
    """Draw the image, uint8 (C, H, W), and below it a row of maps for each layer, at least one."""
    import matplotlib.pyplot as plt

    n_columns = max(len(layer.maps) for layer in layers)
    width = 2 * _EDGE + _LABEL + max(n_columns, 5) * (_CELL + _GAP) + _SCALE
    reading = lines_within(HOW_TO_READ, width - 2 * _EDGE, _SMALL)
    head = 0.45 + _LINE * len(reading) + 0.1
    height = head + (len(layers) + 1) * (_CELL + _GAP) + _EDGE
    figure = plt.figure(figsize=(width, height))
    left = _EDGE / width
    shown = elided(plain(title), width - 2 * _EDGE, _TITLE)
    figure.text(left, 1 - 0.12 / height, shown, va="top", fontsize=_TITLE, fontweight="bold", color=INK)
    figure.text(left, 1 - 0.42 / height, "\n".join(reading), va="top", fontsize=_SMALL, color=MUTED, linespacing=1.3)

    def cell(row: int, column: int) -> tuple[float, float, float, float]:
        x = _EDGE + _LABEL + column * (_CELL + _GAP)
        y = height - head - row * (_CELL + _GAP) - _CELL
        return x / width, y / height, _CELL / width, _CELL / height

    def label(row: int, lines: Sequence[tuple[str, str, str]]) -> None:
        top = cell(row, 0)[1] + (_CELL - 0.05) / height
        for k, (text, weight, color) in enumerate(lines):
            fitted = elided(plain(text), _LABEL - 0.1, _SMALL)
            y = top - k * _LINE / height
            figure.text(left, y, fitted, va="top", fontsize=_SMALL, fontweight=weight, color=color)

    axes = figure.add_axes(cell(0, 0))
    axes.imshow(as_shown(image), cmap="gray", vmin=0, vmax=255)
    label(0, [("image", "bold", INK), (f"{len(image)}x{image.shape[1]}x{image.shape[2]}", "normal", MUTED)])
    limit = 0.0
    for row, layer in enumerate(layers, 1):
        keeps = layer.kind in ("activation", "pooling") and limit
        limit = limit if keeps else max(float(np.nanmax(np.abs(layer.maps), initial=0.0)), 1e-12)
        words = OF_MODULE.get(layer.module, WHAT[layer.kind])
        of = "" if len(layer.shown) == layer.n_maps else f", {len(layer.shown)} shown"
        sizes = f"{layer.module}: {layer.n_maps} maps of {layer.maps.shape[1]}x{layer.maps.shape[2]}{of}"
        explained = [(line, "normal", MUTED) for line in lines_within(words, _LABEL - 0.15, _SMALL)]
        label(row, [(layer.name, "bold", INK), (sizes, "normal", INK), *explained])
        x, y, w, h = cell(row, len(layer.maps) - 1)
        axes = figure.add_axes((cell(row, 0)[0], y, x + w - cell(row, 0)[0], h))
        axes.imshow(_side_by_side(layer.maps, limit), aspect="auto", interpolation="nearest")
        figure.text(x + w + 0.08 / width, y + h / 2, f"±{limit:.2g}", va="center", fontsize=_SMALL, color=MUTED)
    for axes in figure.axes:
        axes.set_axis_off()
    return figure


def _side_by_side(maps: npt.NDArray[np.float32], limit: float) -> npt.NDArray[np.uint8]:
    """Maps (M, h, w) as one picture (_PIXELS, columns, 4), framed: axes for each of them would take seconds."""
    n_gap = round(_PIXELS * _GAP / _CELL)
    rows, columns = (np.arange(_PIXELS) * size // _PIXELS for size in maps.shape[1:])
    cells = diverging()(maps[:, rows][:, :, columns] / (2 * limit) + 0.5, bytes=True)
    for edge in (np.s_[:, :2], np.s_[:, -2:], np.s_[:, :, :2], np.s_[:, :, -2:]):
        cells[edge] = _FRAME
    gap = np.zeros((_PIXELS, n_gap, 4), np.uint8)
    return np.concatenate([part for one in cells for part in (gap, one)][1:], axis=1)
