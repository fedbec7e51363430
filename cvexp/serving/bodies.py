"""From the body of a request to images as the model takes them; a body may hold anything."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvexp.data.images import COLOUR, GREY, TOO_LARGE, Unreadable, decode, read_size
from cvexp.data.resize import fitted_image
from cvexp.serving.limits import Refusal
from cvexp.serving.multipart import files_in
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy.typing as npt

    from cvexp.serving.limits import Limits
    from cvexp.serving.served import Served

JSON, NPY, RAW, MULTIPART = "application/json", "application/x-npy", "application/octet-stream", "multipart/form-data"
ACCEPTED = f"image/png, image/jpeg, {MULTIPART}, {JSON}, {NPY} or {RAW}"
_NPY_MAGIC = b"\x93NUMPY"
_NPY_HEADER = 1000
"""Bytes of a header that is read; the one of a plain array has 128."""
_NDIM, _LARGEST = 4, 255


class Slow(Exception):  # noqa: N818 - no error: it is to be read elsewhere
    """A body with more pixels than may be decoded where it was tried."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Images:
    """Images uint8 (N, C, H, W), N at least 1, each with its name and what may surprise about how it was read."""

    pixels: npt.NDArray[np.uint8]
    names: tuple[str, ...]
    notes: tuple[tuple[str, ...], ...]


def check_type(content_type: str) -> str:
    """The media type of a Content-Type header, without its parameters; Refusal for one that no images come in."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind in (JSON, NPY, RAW, MULTIPART) or kind.startswith("image/"):
        return kind
    seen = f"the body's type is {shown(kind)}" if kind else "the request does not say its body's type"
    raise Refusal(415, seen, f"send a Content-Type: {ACCEPTED}")


def read_images(
    content_type: str, body: bytes, served: Served, limits: Limits, *, most_pixels: int | None = None
) -> Images:
    """The images in `body` as `served` takes them.

    Raises:
        Slow: Its files have more than `most_pixels`.
        Refusal: 400 for a body that is damaged, 413 for one with too many images or pixels, 415 for another type, 422
            for values that are no images of this model.
    """
    kind = check_type(content_type)
    if not body:
        raise Refusal(400, "the body is empty", f"send an image, or an array: {ACCEPTED}")
    if kind == MULTIPART:
        return _decoded(files_in(content_type, body, most=limits.max_images), served, limits, most_pixels)
    if kind.startswith("image/"):
        return _decoded([("image", body)], served, limits, most_pixels)
    read = {JSON: _from_json, NPY: _from_npy, RAW: _from_raw}[kind]
    pixels = read(body, served.image_shape)
    if len(pixels) > limits.max_images:
        raise Refusal(413, f"the request has {len(pixels):,} images", f"send at most {limits.max_images:,} at a time")
    names = tuple(f"image {k}" for k in range(len(pixels)))
    return Images(pixels=pixels, names=names, notes=((),) * len(pixels))


def _decoded(files: Iterable[tuple[str, bytes]], served: Served, limits: Limits, most_pixels: int | None) -> Images:
    if served.image_shape[0] not in (GREY, COLOUR):
        what = f"this model takes images of {served.image_shape[0]} channels, and image files have 1 or 3"
        raise Refusal(422, what, f"send an array: {NPY}")
    n_pixels, read = 0, []
    for name, content in files:
        try:
            n_pixels += math.prod(read_size(io.BytesIO(content)))
            _check_pixels(n_pixels, limits, most_pixels)
            image, notes = decode(io.BytesIO(content), served.image_shape, served.fitting, fitted=fitted_image)
        except Unreadable as error:
            status = 413 if error.kind == TOO_LARGE else 422
            raise Refusal(status, f"{shown(name)}: {error}", error.hint) from error
        read.append((name, image, notes))
    names, images, notes_of = zip(*read, strict=True)
    return Images(pixels=np.stack(images), names=names, notes=notes_of)


def _check_pixels(n_pixels: int, limits: Limits, most_pixels: int | None) -> None:
    if n_pixels > limits.max_pixels:
        raise Unreadable(TOO_LARGE, f"{n_pixels:,} pixels in this request", f"at most {limits.max_pixels:,}")
    if most_pixels is not None and n_pixels > most_pixels:
        raise Slow


def _from_json(body: bytes, image_shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is no JSON: {str(error)[:120]}", 'send {"images": [[[[0, 255, …]]]]}') from error
    images = document.get("images") if isinstance(document, dict) else None
    if not isinstance(images, list):
        raise Refusal(422, 'the JSON has no list called "images"', 'send {"images": [[[[0, 255, …]]]]}')
    if not images:
        raise Refusal(422, 'the list "images" is empty', "send at least one")
    rows = b"".join(_rows(images, image_shape, "images"))
    return np.frombuffer(rows, np.uint8).reshape(len(images), *image_shape)


def _rows(values: Sequence[object], shape: Sequence[int], where: str) -> Iterator[bytes]:
    """The innermost lists of `values`, whose items have this shape, as bytes; numpy would guess at their type."""
    for k, value in enumerate(values):
        place = f"{where}[{k}]"
        if not isinstance(value, list) or len(value) != shape[0]:
            seen = f"{len(value):,} items" if isinstance(value, list) else shown(value)
            wanted = "x".join(map(str, shape))
            raise Refusal(422, f"{place} has {seen}", f"it has to be lists of {wanted} integers from 0 to 255")
        if len(shape) > 1:
            yield from _rows(value, shape[1:], place)
            continue
        if set(map(type, value)) != {int} or min(value) < 0 or max(value) > _LARGEST:  # True is an integer too
            wrong = next(one for one in value if type(one) is not int or not 0 <= one <= _LARGEST)
            raise Refusal(422, f"{place} holds {shown(wrong)}", "pixels are integers from 0 to 255")
        yield bytes(value)


def _from_npy(body: bytes, image_shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    stream = io.BytesIO(body)
    try:
        major, _ = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
        shape, is_fortran, dtype = read(stream, max_header_size=_NPY_HEADER)
    except Exception as error:  # the header is parsed as Python's literals, and may hold anything
        raise Refusal(400, "the body is no .npy file", "write one with numpy.save") from error
    if dtype != np.uint8:
        raise Refusal(422, f"the array is of {dtype}", "send uint8: images.astype('uint8')")
    _check_shape(shape, image_shape)
    values = body[stream.tell() :]
    if len(values) != math.prod(shape):
        what = f"the .npy file has {len(values):,} bytes of the {math.prod(shape):,} that its header promises"
        raise Refusal(400, what, "write it with numpy.save, and send all of it")
    return np.frombuffer(values, np.uint8).reshape(shape, order="F" if is_fortran else "C")


def _from_raw(body: bytes, image_shape: Sequence[int]) -> npt.NDArray[np.uint8]:
    if body.startswith(_NPY_MAGIC):
        return _from_npy(body, image_shape)
    n_images, rest = divmod(len(body), math.prod(image_shape))
    if rest:
        wanted = "x".join(map(str, image_shape))
        what = f"the body has {len(body):,} bytes, and an image of {wanted} has {math.prod(image_shape):,}"
        raise Refusal(422, what, "send the bytes of a uint8 array (N, C, H, W), or a .npy file")
    return np.frombuffer(body, np.uint8).reshape(n_images, *image_shape)


def _check_shape(shape: Sequence[int], image_shape: Sequence[int]) -> None:
    if len(shape) != _NDIM or tuple(shape[1:]) != tuple(image_shape) or not shape[0]:
        wanted = ", ".join(map(str, ("N", *image_shape)))
        raise Refusal(422, f"the array has the shape {shown(tuple(shape))}", f"this model takes ({wanted})")
