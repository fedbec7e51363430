"""Images side by side, each with a title."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from cvexp.plots.style import plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt
    from matplotlib.figure import Figure

RGB = 3


def image_grid(
    images: npt.NDArray[np.uint8],
    titles: Sequence[str],
    *,
    title: str,
    colors: Sequence[str] | None = None,
    n_columns: int | None = None,
) -> Figure:
    """Draw a grid of images, uint8 (N, C, H, W), with N titles and their colours; it is square unless told otherwise.

    Images of other than 3 channels are shown by the channels' mean.
    """
    import matplotlib.pyplot as plt

    n_columns = n_columns or int(np.ceil(np.sqrt(len(images))))
    n_rows = int(np.ceil(len(images) / n_columns))
    size = (2.6 * n_columns, 2.7 * n_rows)
    figure, grid = plt.subplots(n_rows, n_columns, figsize=size, layout="constrained", squeeze=False)
    for cell in grid.flat:
        cell.axis("off")
    for k, (cell, image) in enumerate(zip(grid.flat, images, strict=False)):
        shown = image.transpose(1, 2, 0) if len(image) == RGB else image.mean(axis=0)
        cell.imshow(shown, cmap="gray", vmin=0, vmax=255)
        # Without y, matplotlib lays out the hidden ticks of every image again and again: half the time of the picture.
        cell.set_title(titles[k], fontsize=9, color=colors[k] if colors else "black", y=1.0)
    figure.suptitle(plain(title))
    return figure
