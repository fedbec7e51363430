"""Downloads through torchvision, which has the mirrors and verifies digests."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING
from urllib.error import URLError

from cvexp.errors import DatasetError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TIMEOUT_SECONDS = 30


def torchvision_download(dataset: str, class_name: str, data_dir: Path, hint: str) -> None:
    """Download `dataset` with torchvision's class into `data_dir`, created if missing; progress goes to stderr.

    Raises:
        DatasetError: The download failed or the folder cannot be written; `hint` says what else the user can do.
    """
    import torchvision.datasets

    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        with _timeout(TIMEOUT_SECONDS):
            getattr(torchvision.datasets, class_name)(root=str(data_dir), download=True)
    except (RuntimeError, URLError, OSError) as error:
        raise DatasetError(
            f"{dataset} is not in {data_dir}, and could not be downloaded: {_shortest(error)}",
            hint,
            "or start with a dataset that needs no download: --dataset mnist-5k",
        ) from error


def _shortest(error: Exception) -> str:
    """The last line of the error: torchvision lists mirrors, each with its reason."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip().strip("<>") if lines else type(error).__name__


@contextlib.contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    """A timeout for every blocking socket call; torchvision sets none."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
