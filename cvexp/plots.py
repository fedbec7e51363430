"""Values to matplotlib figures. Nothing here computes a figure of merit.

Colours are Okabe and Ito's, which stay apart for colour-blind eyes (jfly.uni-koeln.de/color).
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from cvexp.errors import InputError
from cvexp.text import clean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from cvexp.results import EpochMetrics

BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#666666"
LABEL_GAP_PIXELS = 15
LABELS_IN_A_CROWD = 10
RIGHT, WRONG = GREEN, "#D55E00"
DPI = 120
RGB = 3
MAX_MATRIX_INCHES = 16.0
SMALLEST_FONT = 5.0
UPRIGHT_FROM = 20
"""Slanted names run into each other where there are more classes than this."""

FEWEST_BARS = 5
"""A bar is no thicker than where there are so many."""

LONGEST_NAME = 24
SOFTWARE = "cvexp"
_CREATOR = {".svg": b"<dc:title>cvexp</dc:title>", ".pdf": b"/Creator (cvexp)"}
"""How a picture says that cvexp drew it; PNG has a field of its own."""

KINDS = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
"""Matplotlib writes others too, but needs LaTeX for some, and no browser shows the rest."""

ENDINGS = "name a file that ends in .png, .svg, .pdf, .jpg or .webp"


def check_place(path: Path) -> Path:
    """Where `save` will write a picture that was asked for at `path`: there, as PNG if the path has no ending.

    Raises:
        InputError: There is no such folder, it cannot be written to, or the path's ending is no picture's.
    """
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    if path.suffix.lower() not in KINDS:
        raise InputError(f"cannot draw to {path}: unknown kind of picture", ENDINGS)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"cannot draw to {path}: not a file one can write to", "name a place in another folder")
    return path


def place_below(folder: Path, name: str) -> Path:
    """Where the picture goes that an experiment file in `folder` asks for; anybody may have written that file.

    Raises:
        InputError: That is outside of the folder, or there is a file already that `save` did not write.
    """
    path = folder / (name if Path(name).suffix else f"{name.rstrip('.')}.png")  # as matplotlib completes it
    elsewhere = "to draw in another folder: cvexp run FILE --plot PICTURE"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"cannot draw to {name}: an experiment file names a place below its own folder", elsewhere)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"cannot draw to {path}: a link leads out of the experiment file's folder", elsewhere)
    if path.exists() and not _drawn_here(path):
        raise InputError(
            f"cannot draw to {path}: there is a file that cvexp did not draw",
            "move it away, or say that it may go: cvexp run FILE --plot PICTURE",
        )
    return path


def _drawn_here(path: Path) -> bool:
    """Whether `save` wrote the file, which says so in PNG, SVG and PDF."""
    from PIL import Image, UnidentifiedImageError

    if path.suffix.lower() in _CREATOR:
        return _CREATOR[path.suffix.lower()] in path.read_bytes()
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return picture.info.get("Software") == SOFTWARE
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return False


def save(figure: Figure, path: Path) -> None:
    """Write `figure` as PNG (or what the path's ending says), nothing clipped, and let go of it.

    PNG, SVG and PDF say in their metadata that cvexp drew them.

    Raises:
        InputError: The path cannot be written, or its ending is no picture's.
    """
    import matplotlib.pyplot as plt

    try:
        figure.savefig(path, dpi=DPI, bbox_inches="tight", facecolor="white", metadata=_metadata(path))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "unknown kind of picture"
        raise InputError(f"cannot draw to {path}: {reason}", ENDINGS) from error
    finally:
        plt.close(figure)


def _metadata(path: Path) -> dict[str, str] | None:
    """What says that cvexp drew the picture, in the terms of its format; None where matplotlib writes none."""
    ending = path.suffix.lower() or ".png"
    return {"Software": SOFTWARE} if ending == ".png" else {"Creator": SOFTWARE} if ending in _CREATOR else None


def confusion_matrix(
    matrix: npt.NDArray[np.int64] | npt.NDArray[np.floating[Any]],
    class_names: Sequence[str],
    *,
    title: str,
    normalize: str = "none",
) -> Figure:
    """Draw true classes as rows and predicted classes as columns; darker is more.

    Up to some twenty classes every cell carries its figure; with more, cells shrink, and figures that could not be
    read are left out.

    Args:
        matrix: (K, K) counts, or shares in [0, 1].
        class_names: K of them.
        title: Above the picture.
        normalize: What the shares are of: `true` the true class, `pred` the predicted one, `all` all images;
            `none` for counts.
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
    of = {"true": "share of the true class", "pred": "share of the predicted class", "all": "share of all images"}
    axes.set_title(plain(title) if normalize == "none" else f"{plain(title)}\n{of[normalize]}")
    return figure


def _mlxtend_plot() -> Callable[..., Any]:
    """The function of mlxtend's, without the rest of its package, which imports scikit-learn for half a second."""
    package = importlib.util.find_spec("mlxtend")
    for root in (package.submodule_search_locations or []) if package else []:
        file = Path(root) / "plotting" / "plot_confusion_matrix.py"
        spec = importlib.util.spec_from_file_location("cvexp_mlxtend_plot", file) if file.exists() else None
        if spec is not None and spec.loader is not None:
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            return cast("Callable[..., Any]", module.plot_confusion_matrix)
    from mlxtend.plotting import plot_confusion_matrix

    return cast("Callable[..., Any]", plot_confusion_matrix)


def curves(history: Sequence[EpochMetrics], *, title: str) -> Figure:
    """Draw loss and accuracy over epochs, training beside the held-out split."""
    import matplotlib.pyplot as plt
    from matplotlib.ticker import MaxNLocator, PercentFormatter

    figure, (losses, accuracies) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    epochs = [e.epoch for e in history]
    held_out = history[0].held_out_name
    _lines(losses, epochs, [e.train.loss for e in history], [e.held_out.metrics.loss for e in history], held_out)
    _lines(
        accuracies,
        epochs,
        [e.train.accuracy for e in history],
        [e.held_out.metrics.accuracy for e in history],
        held_out,
    )
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


def image_grid(
    images: npt.NDArray[np.uint8], titles: Sequence[str], *, title: str, colors: Sequence[str] | None = None
) -> Figure:
    """Draw a square grid of titled images.

    Args:
        images: uint8 (N, C, H, W); other than 3 channels are shown by their mean.
        titles: N of them, short enough already.
        title: Above the grid.
        colors: Of the titles, N of them.
    """
    import matplotlib.pyplot as plt

    n_columns = int(np.ceil(np.sqrt(len(images))))
    n_rows = int(np.ceil(len(images) / n_columns))
    figure, grid = plt.subplots(
        n_rows, n_columns, figsize=(2.6 * n_columns, 2.7 * n_rows), layout="constrained", squeeze=False
    )
    for cell in grid.flat:
        cell.axis("off")
    for k, (cell, image) in enumerate(zip(grid.flat, images, strict=False)):
        shown = image.transpose(1, 2, 0) if len(image) == RGB else image.mean(axis=0)
        cell.imshow(shown, cmap="gray", vmin=0, vmax=255)
        cell.set_title(titles[k], fontsize=9, color=colors[k] if colors else "black")
    figure.suptitle(plain(title))
    return figure


@dataclass(frozen=True, kw_only=True, slots=True)
class Panel:
    """Runs that were measured on the same test images.

    Attributes:
        title: Which images; empty where all runs share them.
        names: Of the first runs, short enough for a label; the rest is drawn without names, and has no bars.
        accuracies: Fractions, finite, the highest first.
        train_seconds: Of the same runs.
        groups: Comparability groups of the same runs; times are comparable within one group only.
    """

    title: str
    names: Sequence[str]
    accuracies: Sequence[float]
    train_seconds: Sequence[float]
    groups: Sequence[str]


def comparison(panels: Sequence[Panel]) -> Figure:
    """Draw the course's bar chart of accuracy, beside accuracy against training time; a row for each test set."""
    import matplotlib.pyplot as plt

    heights = [max(3.5, 0.4 * len(panel.names) + 1.5) for panel in panels]
    figure, rows = plt.subplots(
        len(panels),
        2,
        figsize=(11, sum(heights)),
        height_ratios=heights,
        layout="constrained",
        squeeze=False,
    )
    for panel, (bars, scatter) in zip(panels, rows, strict=True):
        _bars(bars, panel)
        _scatter(scatter, panel)
    figure.canvas.draw()  # settles the layout, and with it where points are in pixels
    figure.set_layout_engine("none")
    for panel, (_, scatter) in zip(panels, rows, strict=True):
        crowded = len(panel.accuracies) > len(panel.names)
        named = panel.names[:LABELS_IN_A_CROWD] if crowded else panel.names
        _label_points(scatter, named, panel.train_seconds, panel.accuracies)
    return figure


def _titled(title: str, panel: Panel) -> str:
    return f"{title}, {panel.title}" if panel.title else title


def _bars(axes: Axes, panel: Panel) -> None:
    """A bar for each run that has a name, the longest at the top."""
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
    left_out = len(panel.accuracies) - n_bars
    best = f" (best {n_bars} of {len(panel.accuracies):,} runs)" if left_out else ""
    axes.set_title(_titled("test accuracy", panel) + best)


def _scatter(axes: Axes, panel: Panel) -> None:
    """Every run's accuracy against its training time; each comparability group has its own marker."""
    from matplotlib.ticker import PercentFormatter

    n_named = len(panel.names)
    if len(panel.accuracies) > n_named:
        rest = slice(n_named, None)
        axes.scatter(panel.train_seconds[rest], panel.accuracies[rest], marker=".", color=GREY, alpha=0.4, s=20)
    markers, colors = "osD^vP*X", (BLUE, ORANGE, GREEN, GREY)
    groups = sorted(set(panel.groups[:n_named]))
    for k, group in enumerate(groups):
        members = [i for i in range(n_named) if panel.groups[i] == group]
        axes.scatter(
            [panel.train_seconds[i] for i in members],
            [panel.accuracies[i] for i in members],
            marker=markers[k % len(markers)],
            color=colors[k % len(colors)],
            s=60,
            label=f"conditions {group}",
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
    """Write each point's name beside it, the highest first, with a line back to a point that lies elsewhere.

    Where two would overlap the lower one moves down; one that no room is left for is not written.
    """
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


def shortened(name: str) -> str:
    """A name that fits a label, and that matplotlib does not read as a formula."""
    return plain(name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…")


def plain(text: str) -> str:
    """Text that matplotlib neither reads as a formula nor finds control characters in; lines stay lines."""
    return "\n".join(clean(line).replace("$", r"\$") for line in text.split("\n"))
