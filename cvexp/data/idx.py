"""The MNIST family's idx files: found on disk, uncompressed or gzipped, and verified by digest."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cvexp.data.sources import Arrays, NotThisDataset
from cvexp.errors import DatasetError
from cvexp.settings import DEBIAN_DATASETS

if TYPE_CHECKING:
    import numpy.typing as npt

_UNSIGNED_BYTE = 8


@dataclass(frozen=True, slots=True)
class IdxFile:
    """One file of a dataset: (N,) labels or (N, H, W) images; its name is without `.gz`.

    `sha256` is the digest of the uncompressed content, `gz_sha256` that of the `.gz` where only this is published.
    """

    name: str
    shape: tuple[int, ...]
    sha256: str | None = None
    gz_sha256: str | None = None

    @property
    def n_bytes(self) -> int:
        """Size of the uncompressed content."""
        return len(header(self.shape)) + math.prod(self.shape)


def header(shape: tuple[int, ...]) -> bytes:
    """The idx header of an unsigned-byte array: two zero bytes, the type, and big-endian dimensions."""
    return struct.pack(f">HBB{len(shape)}I", 0, _UNSIGNED_BYTE, len(shape), *shape)


@dataclass(frozen=True, kw_only=True, slots=True)
class IdxSource:
    """A dataset in four idx files, in the order train images, train labels, test images, test labels.

    Attributes:
        dataset: The dataset's name here, and its folder's in Debian.
        torchvision: The torchvision class that downloads it, and its folder's name.
        files: The four files.
        others: Digests of other datasets' files, which have the same names.
        apt_package: The Debian package that carries it, if any.
    """

    dataset: str
    torchvision: str
    files: tuple[IdxFile, ...]
    others: frozenset[str] = frozenset()
    apt_package: str | None = None

    def find(self, data_dir: Path) -> list[str]:
        """Folders with all four files, unless the test labels, a small file, are another dataset's."""
        own = (data_dir, data_dir / self.torchvision / "raw", data_dir / self.dataset)
        folders = (*own, DEBIAN_DATASETS / self.dataset)
        complete = (folder for folder in folders if all(_on_disk(folder, file) for file in self.files))
        return [str(folder) for folder in complete if not self._is_other(folder, self.files[3])]

    def check_named(self, data_dir: Path) -> None:
        """Refuse a folder that the user named if it holds some of the files, and no folder in it holds all.

        An incomplete download is completed.

        Raises:
            DatasetError: The missing files are named.
        """
        download = data_dir / self.torchvision / "raw"
        folders = (data_dir, data_dir / self.dataset, download)
        missing = {folder: [file.name for file in self.files if not _on_disk(folder, file)] for folder in folders}
        if not all(missing.values()):
            return
        for folder, names in missing.items():
            if len(names) == len(self.files) or any(self._is_other(folder, file) for file in self.files):
                continue
            if folder == download:
                with contextlib.suppress(DatasetError):
                    self.fetch(data_dir)
                    return
            raise DatasetError(
                f"{folder} holds some of {self.dataset}'s files, and not {', '.join(names)}",
                "add what is missing, name another folder with --data-dir, or delete the other files there",
            )

    def _is_other(self, folder: Path, file: IdxFile) -> bool:
        """Whether the file is there and is another dataset's."""
        path = _on_disk(folder, file)
        try:
            return path is not None and hashlib.sha256(_content(path, file)).hexdigest() in self.others
        except DatasetError:
            return False  # damaged: `read` reports it

    def read(self, location: str) -> Arrays:
        """Read the four files, each verified."""
        train_images, train_labels, test_images, test_labels = (
            self._array(Path(location), file) for file in self.files
        )
        return Arrays(
            train_images=train_images[:, None],
            train_labels=train_labels.astype(np.int64),
            test_images=test_images[:, None],
            test_labels=test_labels.astype(np.int64),
        )

    def _array(self, folder: Path, file: IdxFile) -> npt.NDArray[np.uint8]:
        path = _on_disk(folder, file)
        if path is None:
            raise DatasetError(f"missing file: {folder / file.name}", f"run: cvexp data {self.dataset}")
        content = _content(path, file)
        digest = hashlib.sha256(content).hexdigest()
        if digest in self.others:
            raise NotThisDataset(str(path))
        problem = _problem(content, digest, path, file)
        if problem:
            raise DatasetError(f"damaged file: {path}: {problem}", f"delete it, then run: cvexp data {self.dataset}")
        return np.frombuffer(content, np.uint8, offset=len(header(file.shape))).reshape(file.shape)

    def fetch(self, data_dir: Path) -> None:
        """Download through torchvision, in its own folder layout."""
        from cvexp.data.download import torchvision_download

        hint = f"point --data-dir at a folder that holds {self.files[0].name} and the other three files"
        if self.apt_package:
            hint = f"Debian, Ubuntu: sudo apt install {self.apt_package}; or {hint}"
        torchvision_download(self.dataset, self.torchvision, data_dir, hint)


def _on_disk(folder: Path, file: IdxFile) -> Path | None:
    """The file in `folder`: uncompressed first; only the `.gz` where no digest of the content is known."""
    names = [f"{file.name}.gz"] if file.sha256 is None else [file.name, f"{file.name}.gz"]
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _content(path: Path, file: IdxFile) -> bytes:
    """The uncompressed bytes, read up to one more than expected."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            return stream.read(file.n_bytes + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DatasetError(f"damaged file: {path}: {error}", "delete it, then run: cvexp data NAME") from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}", "check its permissions") from error


def _problem(content: bytes, digest: str, path: Path, file: IdxFile) -> str | None:
    if len(content) != file.n_bytes:
        n_bytes = f"more than {file.n_bytes:,}" if len(content) > file.n_bytes else f"{len(content):,}"
        return f"{n_bytes} bytes where {file.n_bytes:,} are expected"
    if not content.startswith(header(file.shape)):
        return f"its header is not that of {'x'.join(map(str, file.shape))} unsigned bytes"
    if file.sha256 is None:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    wanted = file.sha256 or str(file.gz_sha256)
    return None if digest == wanted else f"sha256 {digest[:12]}… where {wanted[:12]}… is expected"
