"""Read a user's image file with the channels and size of the model's training images, as uint8."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from cvexp.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

GREY, COLOUR = 1, 3
# By content, not by file name. For some others Pillow runs external programs, such as Ghostscript for EPS.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(path: Path, image_shape: Sequence[int]) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Read an image of any common mode and size as uint8 (C, H, W), and describe each lossy conversion.

    EXIF orientation is applied, 16-bit values are scaled to 8 bits, transparent parts become black, the mode is
    converted to greyscale or RGB, and the image is resized without keeping its aspect ratio.

    Raises:
        DatasetError: The file cannot be read, is no image, or is too large to be opened safely.
    """
    channels, height, width = image_shape
    if channels not in (GREY, COLOUR):
        raise DatasetError(f"this model takes images of {channels} channels, and image files have 1 or 3")
    if path.exists() and not path.is_file():
        raise DatasetError(f"not a file: {path}", "name image files, not folders or devices")
    notes: list[str] = []
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=FORMATS) as opened:
                opened.load()
                image = ImageOps.exif_transpose(opened)
                image = _flattened(_eight_bit(image, notes), notes)
                image = _in_mode(image, "L" if channels == GREY else "RGB")
    except UnidentifiedImageError as error:
        raise DatasetError(f"not an image: {path}", "PNG, JPEG, BMP, GIF, TIFF and WebP can be read") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise DatasetError(f"image too large to open safely: {path}", f"make it smaller: {error}") from error
    except Exception as error:  # a damaged file can make the decoders raise anything
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise DatasetError(f"unreadable image: {path}: {reason}", "check that the file is complete") from error
    if image.size != (width, height):
        notes.append(f"resized from {image.width}x{image.height} to {width}x{height} pixels")
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, np.uint8)
    return (pixels[None] if channels == GREY else pixels.transpose(2, 0, 1)).copy(), tuple(notes)


def _eight_bit(image: Image.Image, notes: list[str]) -> Image.Image:
    """Convert 16-bit and floating-point greyscale to 8 bits; other modes are unchanged."""
    if image.mode in _SIXTEEN_BIT:
        notes.append("16-bit values scaled to 8 bits")
        values = np.asarray(image).astype(np.float64) / 257
    elif image.mode == "F":
        notes.append("floating-point values clipped to 0 to 255")
        values = np.asarray(image, np.float64)
    else:
        return image
    return Image.fromarray(np.rint(np.clip(np.nan_to_num(values), 0, 255)).astype(np.uint8))


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    """Convert to greyscale or RGB; Pillow converts LAB only through colour profiles, and to RGB."""
    if image.mode == "LAB":
        srgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        image = ImageCms.applyTransform(image, ImageCms.buildTransform(lab, srgb, "LAB", "RGB")) or image
    return image.convert(mode)


def _flattened(image: Image.Image, notes: list[str]) -> Image.Image:
    """Composite a transparent image onto black, the background of most training images here."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema() != (255, 255):
        notes.append("transparent parts became black")
    return Image.alpha_composite(Image.new("RGBA", layered.size, (0, 0, 0, 255)), layered).convert("RGB")
