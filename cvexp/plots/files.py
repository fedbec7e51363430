"""Checks of the path of a picture, and writing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
SOFTWARE = "cvexp"
# The metadata that names cvexp; PNG has a field for it.
_CREATOR = {".svg": b"<dc:title>cvexp</dc:title>", ".pdf": b"/Creator (cvexp)"}
# Matplotlib writes others too, but needs LaTeX for some, and no browser shows the rest.
SUFFIXES = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
VALID = "name a file that ends in .png, .svg, .pdf, .jpg or .webp"


def check_path(path: Path) -> Path:
    """The path that `save` will write to: `path`, with the suffix .png if it has none.

    Raises:
        InputError: It cannot be written, or its suffix is no picture's.
    """
    if not path.suffix:
        path = path.with_name(f"{path.name}.png")
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"cannot draw to {path}: unknown kind of picture", VALID)
    if path.is_dir() or not path.parent.is_dir() or not os.access(path if path.exists() else path.parent, os.W_OK):
        raise InputError(f"cannot draw to {path}: not a writable file", "choose a file in another folder")
    return path


def path_below(folder: Path, name: str) -> Path:
    """The path of the picture that an experiment file in `folder`, which is untrusted, asks for.

    Raises:
        InputError: It is outside of the folder, or a file that `save` did not write.
    """
    path = folder / (name if Path(name).suffix else f"{name.rstrip('.')}.png")  # as matplotlib completes it
    elsewhere = "to draw in another folder: cvexp run FILE --plot PICTURE"
    if Path(name).is_absolute() or ".." in Path(name).parts:
        raise InputError(f"cannot draw to {name}: an experiment file names a file below its own folder", elsewhere)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise InputError(f"cannot draw to {path}: a link leads out of the experiment file's folder", elsewhere)
    if path.exists() and not _drawn_here(path):
        raise InputError(
            f"cannot draw to {path}: there is a file that cvexp did not draw",
            "move it away, or say that it may go: cvexp run FILE --plot PICTURE",
        )
    return path


def _drawn_here(path: Path) -> bool:
    """Whether the file's metadata (PNG, SVG, PDF) names cvexp as the software that wrote it."""
    from PIL import Image, UnidentifiedImageError

    if path.suffix.lower() in _CREATOR:
        return _CREATOR[path.suffix.lower()] in path.read_bytes()
    try:
        with Image.open(path, formats=("PNG",)) as picture:
            return picture.info.get("Software") == SOFTWARE
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, ValueError, SyntaxError):
        return False


def as_svg(figure: Figure) -> bytes:
    """The figure as an SVG file that needs no font, the same bytes for the same figure; it is closed."""
    import io

    import matplotlib as mpl
    import matplotlib.pyplot as plt
    from matplotlib.transforms import Bbox

    stream = io.BytesIO()
    try:
        with mpl.rc_context({"svg.hashsalt": SOFTWARE, "svg.fonttype": "path"}):
            # The whole figure, so that figures of one size stay so, and what was written beyond its edges.
            whole = Bbox.union([Bbox.from_bounds(0, 0, *figure.get_size_inches()), figure.get_tightbbox()])
            facts = {"Creator": SOFTWARE, "Date": None}
            figure.savefig(stream, format="svg", bbox_inches=whole, facecolor="white", metadata=facts)
    finally:
        plt.close(figure)
    return stream.getvalue()


def as_png(figure: Figure) -> bytes:
    """The figure as a PNG file, nothing clipped; it is closed."""
    import io

    import matplotlib.pyplot as plt

    stream = io.BytesIO()
    try:
        figure.savefig(
            stream, format="png", dpi=DPI, bbox_inches="tight", facecolor="white", metadata={"Software": SOFTWARE}
        )
    finally:
        plt.close(figure)
    return stream.getvalue()


def save(figure: Figure, path: Path) -> None:
    """Write `figure` in the format of the path's suffix, nothing clipped, and close it.

    Raises:
        InputError: The path cannot be written, or its suffix is no picture's.
    """
    import matplotlib.pyplot as plt

    suffix = path.suffix.lower() or ".png"
    metadata = {"Software" if suffix == ".png" else "Creator": SOFTWARE} if suffix in (".png", *_CREATOR) else None
    try:
        figure.savefig(path, dpi=DPI, bbox_inches="tight", facecolor="white", metadata=metadata)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "unknown kind of picture"
        raise InputError(f"cannot draw to {path}: {reason}", VALID) from error
    finally:
        plt.close(figure)
