"""Tensors on disk: written atomically, read only when the digest is right, and never as a pickle that can run code."""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import TYPE_CHECKING, Any

import torch

from cvexp import files
from cvexp.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

REMEDY = "restore the file from where it came, or train again"


def save(path: Path, state: Mapping[str, Any]) -> str:
    """Write `state` so that `path` holds either all of it or what was there before.

    Args:
        path: Its folder exists.
        state: Tensors and plain values, as `torch.load(weights_only=True)` reads them.

    Returns:
        The file's SHA-256.
    """
    content = serialised(state)
    files.write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def save_named(folder: Path, stem: str, state: Mapping[str, Any]) -> Path:
    """Write `state` to `folder` under `stem` and its own SHA-256, whole or not at all.

    Returns:
        The file, `STEM-SHA256.pt`.
    """
    content = serialised(state)
    path = folder / f"{stem}-{hashlib.sha256(content).hexdigest()}.pt"
    files.write_atomically(path, content)
    return path


def serialised(state: Mapping[str, Any]) -> bytes:
    """What `parsed` reads."""
    buffer = io.BytesIO()
    torch.save(dict(state), buffer)
    return buffer.getvalue()


def load(path: Path, *, sha256: str) -> dict[str, Any]:
    """Read what `save` wrote, onto the CPU.

    Args:
        path: The file.
        sha256: The digest it must have; it is checked before anything is parsed.

    Raises:
        WeightsError: The file is missing, altered, or not made of tensors and plain values.
    """
    return parsed(read_verified(path, sha256=sha256), source=path)


def parsed(content: bytes, *, source: Path) -> dict[str, Any]:
    """Tensors and plain values from verified bytes, onto the CPU.

    Raises:
        WeightsError: They are not made of tensors and plain values; `source` is named.
    """
    if not _is_plain_archive(content):
        raise WeightsError(f"{source} holds no weights cvexp can read safely", REMEDY)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # hostile content makes the unpickler raise whatever it likes
        raise WeightsError(f"{source} holds no weights cvexp can read safely", REMEDY) from error
    if not isinstance(state, dict):
        raise WeightsError(f"{source} holds a {type(state).__name__}, not a state_dict", REMEDY)
    return state


def _is_plain_archive(content: bytes) -> bool:
    """Whether the bytes are a zip archive as torch writes it: nothing in it is compressed, so nothing can swell."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError):
        return False
    stored = all(member.compress_type == zipfile.ZIP_STORED for member in members)
    return stored and sum(member.file_size for member in members) <= len(content)


def read_verified(path: Path, *, sha256: str) -> bytes:
    """The bytes at `path`, if their digest is the one that was recorded.

    Raises:
        WeightsError: The file is missing or altered.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise WeightsError(f"cannot read {path}: {error.strerror or error}", REMEDY) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise WeightsError(
            f"damaged or altered weights: {path}",
            f"its sha256 is {found[:16]}… where {sha256[:16]}… was recorded; {REMEDY}",
        )
    return content
