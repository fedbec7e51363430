"""A tiny dataset in idx files, written byte by byte, and the source that knows it."""

from __future__ import annotations

import gzip
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from cvexp.data.idx import IdxFile, IdxSource
from cvexp.data.registry import DatasetSpec

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SHAPES = {
    "train-images-idx3-ubyte": (12, 5, 4),
    "train-labels-idx1-ubyte": (12,),
    "t10k-images-idx3-ubyte": (6, 5, 4),
    "t10k-labels-idx1-ubyte": (6,),
}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True)
class TinyIdx:
    """Twelve training images and six test images of 5x4 pixels in three classes."""

    arrays: dict[str, np.ndarray]
    contents: dict[str, bytes]

    def packed(self, name: str) -> bytes:
        return gzip.compress(self.contents[name], mtime=0)

    def write(self, folder: Path, *, gz: bool = False) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.contents.items():
            (folder / (name + ".gz" * gz)).write_bytes(self.packed(name) if gz else content)
        return folder

    def source(self, *, others: frozenset[str] = frozenset(), gz_only: bool = False) -> IdxSource:
        """The source; with `gz_only`, only the packed files' digests are published."""
        digests = {
            name: {"gz_sha256": sha256(self.packed(name))} if gz_only else {"sha256": sha256(content)}
            for name, content in self.contents.items()
        }
        files = tuple(IdxFile(name, shape, **digests[name]) for name, shape in SHAPES.items())
        return IdxSource(
            dataset="tiny", torchvision="FashionMNIST", files=files, others=others, apt_package="dataset-tiny"
        )

    def spec(self, **settings: bool) -> DatasetSpec:
        return DatasetSpec(
            name="tiny",
            title="tiny noise",
            class_names=("a", "b", "c"),
            image_shape=(1, 5, 4),
            n_train=12,
            n_test=6,
            source=self.source(**settings),
        )


def drawn(seed: int) -> TinyIdx:
    draw = np.random.default_rng(seed)
    arrays = {
        name: draw.integers(0, 256, shape, np.uint8) if len(shape) > 1 else draw.permutation(shape[0]) % 3
        for name, shape in SHAPES.items()
    }
    contents = {
        name: bytes([0, 0, 8, array.ndim])
        + b"".join(size.to_bytes(4, "big") for size in array.shape)
        + array.astype(np.uint8).tobytes()
        for name, array in arrays.items()
    }
    return TinyIdx(arrays, contents)


@pytest.fixture
def tiny() -> TinyIdx:
    return drawn(1)


@pytest.fixture
def sibling() -> TinyIdx:
    """Another dataset whose files bear the same names and have the same sizes."""
    return drawn(2)


@pytest.fixture
def digest_of() -> Callable[[bytes], str]:
    return sha256


@pytest.fixture(autouse=True)
def debian(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path | None:
    """Debian's dataset folder, moved into the test's own; tests marked `full` get the real one."""
    if request.node.get_closest_marker("full"):
        return None
    monkeypatch.setattr("cvexp.data.idx.DEBIAN_DATASETS", tmp_path / "debian")
    return tmp_path / "debian"
