"""Where a picture may be written, and writing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 120
SOFTWARE = "cvexp"
_CREATOR = {".svg": b"<dc:title>cvexp</dc:title>", ".pdf": b"/Creator (cvexp)"}
"""How a picture says that cvexp drew it; PNG has a field of its own."""

KINDS = (".png", ".svg", ".pdf", ".jpg", ".jpeg", ".webp")
"""Matplotlib writes others too, but needs LaTeX for some, and no browser shows the rest."""

ENDINGS = "name a file that ends in .png, .svg, .pdf, .jpg or .webp"


def check_path(path: Path) -> Path:
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


def path_below(folder: Path, name: str) -> Path:
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
