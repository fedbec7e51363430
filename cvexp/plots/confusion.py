"""A confusion matrix."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cvexp.imports import package_folder
from cvexp.plots.style import plain, shortened

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from matplotlib.figure import Figure

MAX_MATRIX_INCHES = 16.0
SMALLEST_FONT = 5.0
SHARES = {"true": "share of the true class", "pred": "share of the predicted class", "all": "share of all images"}
UPRIGHT_FROM = 20  # with more classes than this, slanted names would overlap


def confusion_matrix(
    matrix: npt.NDArray[np.int64] | npt.NDArray[np.floating[Any]],
    class_names: Sequence[str],
    *,
    title: str,
    normalize: str = "none",
) -> Figure:
    """Draw true classes as rows and predicted classes as columns; darker is more.

    With many classes, cells shrink, and figures that could not be read are left out.

    Args:
        matrix: (K, K) counts, or shares in [0, 1].
        class_names: K of them.
        title: Above the picture.
        normalize: `none` for counts; else what the shares are of: the `true` class, the predicted one (`pred`), `all`.
    """
    import matplotlib.pyplot as plt

    n_classes = len(class_names)
    cell = min(0.75, MAX_MATRIX_INCHES / n_classes)
    side = max(3.0, cell * n_classes)
    figure, axes = plt.subplots(figsize=(side + 1.5, side))
    names = [shortened(name) for name in class_names]
    # mlxtend normalises by true class alone and writes a figure into every cell, so it draws the frame from
    # whole numbers, and values and figures are put in afterwards.
    counts = np.maximum(np.rint(matrix), 0).astype(np.int64)
    _mlxtend_plot()(counts, axis=axes, figure=figure, class_names=names, cmap="Blues", colorbar=True)
    image = axes.images[0]
    image.set_data(matrix)
    image.set_clim(0, max(float(matrix.max()), 1e-9))
    font = min(10.0, 72 * cell * 0.3)
    for text, value in zip(list(axes.texts), matrix.reshape(-1), strict=True):
        if font < SMALLEST_FONT:
            text.remove()
            continue
        text.set_text(f"{int(value)}" if normalize == "none" else f"{value:.2f}")
        text.set_color("white" if value > matrix.max() / 2 else "black")
        text.set_fontsize(font)
    axes.tick_params(labelsize=max(SMALLEST_FONT, min(10.0, 72 * cell * 0.8)))
    if n_classes > UPRIGHT_FROM:
        plt.setp(axes.get_xticklabels(), rotation=90, ha="center", rotation_mode="default")
    axes.set_xlabel("predicted class")
    axes.set_ylabel("true class")
    axes.set_title(plain(title) if normalize == "none" else f"{plain(title)}\n{SHARES[normalize]}")
    return figure


def _mlxtend_plot() -> Callable[..., Any]:
    """Mlxtend's function without its package, which imports scikit-learn for half a second."""
    file = package_folder("mlxtend") / "plotting" / "plot_confusion_matrix.py"
    spec = importlib.util.spec_from_file_location("cvexp_mlxtend_plot", file) if file.exists() else None
    if spec is not None and spec.loader is not None:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return cast("Callable[..., Any]", module.plot_confusion_matrix)
    from mlxtend.plotting import plot_confusion_matrix

    return cast("Callable[..., Any]", plot_confusion_matrix)
