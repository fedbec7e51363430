"""Decode image files as uint8 of one shape: those that are trained on and those that are predicted, in one way."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from cvexp.data.fitting import Fitting
from cvexp.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    import numpy.typing as npt
    from torch import Tensor

    Pixels = npt.NDArray[np.uint8]

GREY, COLOUR = 1, 3
# By content, not by file name. For some others Pillow runs external programs, such as Ghostscript for EPS.
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")
_GREY_MODES = ("1", "L", "LA", "F", *_SIXTEEN_BIT)
_DRAFT_FACTOR = 4
"""A JPEG is decoded at a half, a quarter or an eighth of its size where that leaves so many times the pixels wanted on
a side. On photographs this changes pixels by 0.6 of 255 levels in the mean; at twice the pixels it was up to 1.5."""

NO_IMAGE, TOO_LARGE, UNREADABLE = "not an image", "image too large to open safely", "unreadable image"

_TURNED = 5, 6, 7, 8
"""EXIF orientations that exchange height and width."""
_ORIENTATION = 0x0112


class Unreadable(Exception):  # noqa: N818 - DatasetError is the error; this is why
    """Why an image cannot be decoded, as a kind and, where there is more to say, a reason."""

    def __init__(self, kind: str, reason: str = "", hint: str = "") -> None:
        super().__init__(f"{kind}: {reason}" if reason else kind)
        self.kind, self.reason, self.hint = kind, reason, hint


class Header(NamedTuple):
    """What an image says of itself before it is decoded: its mode in Pillow's words, and its size as it is shown."""

    mode: str
    width: int
    height: int

    @property
    def is_grey(self) -> bool:
        """Whether it has no colours; a palette counts as colours."""
        return self.mode in _GREY_MODES


def read_size(stream: BinaryIO) -> tuple[int, int]:
    """Width and height of the image in `stream` as it is stored; nothing is decoded, which `read_header` does to a PNG.

    Raises:
        Unreadable: It is no image, or says that it is too large.
    """
    with _explained(), _opened(stream) as image:
        return image.size


def read_header(stream: BinaryIO) -> Header:
    """The header of the image in `stream`; Unreadable if it has none, or says that the image is too large."""
    with _explained(), _opened(stream) as image:
        return Header(image.mode, *_shown_size(image))


def read_image(
    path: Path, image_shape: Sequence[int], fitting: Fitting | None = None
) -> tuple[npt.NDArray[np.uint8], tuple[str, ...]]:
    """Decode an image of any common mode and size as uint8 (C, H, W), and describe each lossy conversion.

    See `decode`; without `fitting`, the image is squeezed.

    Raises:
        DatasetError: The file cannot be read, is no image, or is too large to be opened safely.
    """
    if image_shape[0] not in (GREY, COLOUR):
        raise DatasetError(f"this model takes images of {image_shape[0]} channels, and image files have 1 or 3")
    if not path.exists():
        raise DatasetError(f"no such file: {path}", "name an image file")
    if not path.is_file():
        raise DatasetError(f"not a file: {path}", "name image files, not folders or devices")
    try:
        with path.open("rb") as stream:
            pixels, notes = decode(stream, image_shape, fitting or Fitting())
    except OSError as error:
        reason = f"unreadable image: {path}: {error.strerror or error}"
        raise DatasetError(reason, "check that the file is complete") from error
    except Unreadable as error:
        reason = f": {error.reason}" if error.kind == UNREADABLE else ""
        hint = error.hint if error.kind != TOO_LARGE else f"{error.hint}: {error.reason}"
        raise DatasetError(f"{error.kind}: {path}{reason}", hint) from error
    return pixels, notes


def fitted_by_torch(image: Image.Image, size: tuple[int, int], fitting: Fitting) -> Pixels:
    """An image in mode L or RGB as uint8 (1 or 3, H, W), fitted to `size`, (height, width)."""
    n_channels = len(image.getbands())
    fitted: Pixels = fitting(_tensor(image), size)[0, :n_channels].contiguous().numpy()
    return fitted


def decode(
    stream: BinaryIO,
    image_shape: Sequence[int],
    fitting: Fitting,
    *,
    fitted: Callable[[Image.Image, tuple[int, int], Fitting], Pixels] = fitted_by_torch,
) -> tuple[Pixels, tuple[str, ...]]:
    """Decode the image in `stream` as uint8 `image_shape`, (C, H, W), C 1 or 3, and describe each lossy conversion.

    EXIF orientation is applied, 16-bit values are scaled to 8 bits, transparent parts become black, the mode is
    converted to greyscale or RGB, and the image is fitted to (H, W): by torch, or by `fitted`, such as the one of
    `cvexp.data.resize`, which needs no torch and gives the same pixels.

    Raises:
        Unreadable: It is no image, damaged, or too large.
    """
    channels, height, width = image_shape
    notes: list[str] = []
    with _explained(), _opened(stream) as opened:
        shown = _shown_size(opened)
        if opened.format == "JPEG" and opened.mode in ("L", "RGB"):
            opened.draft(None, (_DRAFT_FACTOR * max(height, width),) * 2)
        opened.load()
        ImageOps.exif_transpose(opened, in_place=True)
        image = _flattened(_eight_bit(opened, notes), notes)
        pixels = fitted(_in_mode(image, "L" if channels == GREY else "RGB"), (height, width), fitting)
    if shown != (width, height):
        notes.append(f"resized from {shown[0]}x{shown[1]} to {width}x{height} pixels")
    return pixels, tuple(notes)


def _tensor(image: Image.Image) -> Tensor:
    """The pixels of a grey image as uint8 (1, 1, H, W), and of one in RGB as (1, 4, H, W), as Pillow holds them.

    They are not copied, unless Pillow holds a large image in pieces. To leave the fourth, meaningless channel out takes
    it a third of the time that decoding does, and torch resizes four channels faster than three.
    """
    import pyarrow as pa
    import torch

    if image.mode == "L":
        return torch.from_numpy(np.array(image))[None, None]
    try:
        pixels = torch.utils.dlpack.from_dlpack(pa.array(image).flatten())
    except ValueError:  # in pieces
        pixels = torch.frombuffer(bytearray(image.tobytes("raw", "RGBX")), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 4).permute(2, 0, 1)[None]


def _opened(stream: BinaryIO) -> Image.Image:
    """The image, not decoded yet, if that can be done safely; raises what `_explained` explains."""
    image = Image.open(stream, formats=FORMATS)
    n_pixels, most = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if most is not None and n_pixels > most:  # Pillow itself would only warn, up to twice as many
        raise Image.DecompressionBombError(f"{n_pixels:,} pixels, and the limit is {most:,}")
    return image


def _shown_size(image: Image.Image) -> tuple[int, int]:
    """(width, height) after the EXIF orientation is applied."""
    turned = image.getexif().get(_ORIENTATION) in _TURNED
    return image.size[::-1] if turned else image.size


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Raise whatever goes wrong within the block as Unreadable: a damaged file can make the decoders raise anything."""
    try:
        yield
    except UnidentifiedImageError as error:
        raise Unreadable(NO_IMAGE, hint="PNG, JPEG, BMP, GIF, TIFF and WebP can be read") from error
    except Image.DecompressionBombError as error:
        raise Unreadable(TOO_LARGE, str(error), "make it smaller") from error
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Unreadable(UNREADABLE, reason, "check that the file is complete") from error


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
    return image if image.mode == mode else image.convert(mode)  # `convert` would copy it


def _flattened(image: Image.Image, notes: list[str]) -> Image.Image:
    """Composite a transparent image onto black, the background of most training images here."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image
    layered = image.convert("RGBA")
    if layered.getchannel("A").getextrema() != (255, 255):
        notes.append("transparent parts became black")
    return Image.alpha_composite(Image.new("RGBA", layered.size, (0, 0, 0, 255)), layered).convert("RGB")
