"""Tensors on disk: atomic writes; reads verify the SHA-256 first and never execute pickled code."""

from __future__ import annotations

import hashlib
import io
import pickletools
import zipfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from cvexp import files
from cvexp.errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

REMEDY = "restore the file from a backup, or train again"
_REBUILDS = (
    "collections OrderedDict",
    "torch._utils _rebuild_parameter",
    "torch._utils _rebuild_tensor_v2",
    "torch._utils _rebuild_tensor_v3",
)


def write(path: Path, content: bytes) -> str:
    """Write a file atomically and return its SHA-256."""
    files.write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def save_named(folder: Path, stem: str, state: Mapping[str, Any]) -> Path:
    """Write `state` atomically to `folder`, as `STEM-SHA256.pt`."""
    content = serialised(state)
    path = folder / f"{stem}-{hashlib.sha256(content).hexdigest()}.pt"
    files.write_atomically(path, content)
    return path


def serialised(state: Mapping[str, Any]) -> bytes:
    """The bytes of a file that `parsed` reads."""
    buffer = io.BytesIO()
    torch.save(dict(state) if all(map(_is_whole, _tensors_in(state))) else _contiguous(state), buffer)
    return buffer.getvalue()


def _contiguous(state: Any) -> Any:
    """The state with its expanded tensors, which `load` refuses, made contiguous."""
    if isinstance(state, torch.Tensor):
        return state if _is_whole(state) else state.contiguous()
    if isinstance(state, Mapping):
        return {key: _contiguous(value) for key, value in state.items()}
    if isinstance(state, list | tuple):
        return [_contiguous(value) for value in state]
    return state


def load(path: Path, *, sha256: str) -> dict[str, Any]:
    """Read tensors and plain values from a file, onto the CPU; its digest is checked before anything is parsed.

    Raises:
        WeightsError: The file is missing, altered, or not made of tensors and plain values.
    """
    return parsed(read_verified(path, sha256=sha256), path)


def parsed(content: bytes, source: Path | str) -> dict[str, Any]:
    """Tensors and plain values from verified bytes, onto the CPU.

    Raises:
        WeightsError: They are not made of tensors and plain values; `source` is named.
    """
    if not _is_plain_archive(content):
        raise WeightsError(f"{source} holds no weights cvexp can read safely", REMEDY)
    try:
        state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # malicious content can make the unpickler raise anything
        raise WeightsError(f"{source} holds no weights cvexp can read safely", REMEDY) from error
    if not isinstance(state, dict):
        raise WeightsError(f"{source} holds a {type(state).__name__}, not a state_dict", REMEDY)
    tensors = list(_tensors_in(state))
    if not all(map(_is_whole, tensors)) or n_bytes_stored(tensors) > len(content):
        raise WeightsError(f"{source} holds tensors that are larger than what is stored of them", REMEDY)
    return state


def n_bytes_stored(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes of the tensors' storages; one that several share counts once."""
    storages = (tensor.untyped_storage() for tensor in tensors)
    return sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values())


def _tensors_in(state: Any) -> Iterator[torch.Tensor]:
    if isinstance(state, torch.Tensor):
        yield state
    elif isinstance(state, Mapping | list | tuple):
        for value in state.values() if isinstance(state, Mapping) else state:
            yield from _tensors_in(value)


def _is_whole(tensor: torch.Tensor) -> bool:
    """Whether the storage has a value for each element; that of an expanded tensor has fewer."""
    return tensor.layout is torch.strided and tensor.nbytes <= tensor.untyped_storage().nbytes()


def _is_plain_archive(content: bytes) -> bool:
    """Whether the bytes are a zip archive as torch writes it, of tensors and plain values.

    Nothing in it is compressed (no decompression bombs), and unpickling calls only functions that make tensors of
    stored values: others that torch allows would allocate as much memory as the file claims to need.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            is_compressed = any(member.compress_type != zipfile.ZIP_STORED for member in members)
            if is_compressed or sum(member.file_size for member in members) > len(content):
                return False
            pickles = [archive.read(member) for member in members if member.filename.endswith(".pkl")]
        return all(_names_only_tensors(pickled) for pickled in pickles)
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError, EOFError, RuntimeError):
        # zipfile raises NotImplementedError for a compression or a zip version that it does not know.
        return False


def _names_only_tensors(pickled: bytes) -> bool:
    """Whether a pickle names only storages, dtypes and the functions that make tensors of them."""
    called = {str(argument) for opcode, argument, _ in pickletools.genops(pickled) if opcode.name == "GLOBAL"}
    return all(name in _REBUILDS or _is_storage_or_dtype(*name.split(" ", 1)) for name in called)


def _is_storage_or_dtype(module: str, attribute: str = "") -> bool:
    if attribute.endswith("Storage"):
        return module in ("torch", "torch.storage")
    return module == "torch" and isinstance(getattr(torch, attribute, None), torch.dtype)


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
        seen = f"its sha256 is {found[:16]}…, and {sha256[:16]}… was recorded"
        raise WeightsError(f"damaged or altered weights: {path}", f"{seen}; {REMEDY}")
    return content
