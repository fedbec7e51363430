"""CIFAR-10 as torchvision downloads it: six pickled batches, each verified before it is unpickled."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from cvexp.data.sources import Arrays
from cvexp.errors import DatasetError

FOLDER = "cifar-10-batches-py"
MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
}
"""Of the published files; copied from torchvision, which takes seconds to import."""


class Cifar10Source:
    """CIFAR-10's batches."""

    def find(self, data_dir: Path) -> list[str]:
        """The batches' folder in the data directory, or the data directory itself when it is that folder."""
        folders = (data_dir / FOLDER, data_dir)
        return [str(folder) for folder in folders if (folder / "data_batch_1").is_file()]

    def read(self, location: str) -> Arrays:
        """Verify every batch, then let torchvision read them."""
        folder = Path(location)
        for name, md5 in MD5.items():
            _verify(folder / name, md5)
        from torchvision.datasets import CIFAR10

        class Here(CIFAR10):  # type: ignore[misc]  # torchvision carries no types
            base_folder = folder.name

        train, test = (Here(root=str(folder.parent), train=is_train) for is_train in (True, False))
        return Arrays(
            train_images=np.ascontiguousarray(train.data.transpose(0, 3, 1, 2)),
            train_labels=np.asarray(train.targets, np.int64),
            test_images=np.ascontiguousarray(test.data.transpose(0, 3, 1, 2)),
            test_labels=np.asarray(test.targets, np.int64),
        )

    def fetch(self, data_dir: Path) -> None:
        """Download through torchvision."""
        from cvexp.data.download import torchvision_download

        hint = f"point --data-dir at a folder that holds torchvision's {FOLDER}"
        torchvision_download("cifar10", "CIFAR10", data_dir, hint)


def _verify(path: Path, md5: str) -> None:
    if not path.is_file():
        raise DatasetError(f"missing file: {path}", f"run: cvexp data cifar10 --data-dir {path.parent.parent}")
    # The publisher gives MD5: it detects damage, and no second preimage of it is known.
    try:
        found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror}", "check its permissions") from error
    if found != md5:
        seen = f"md5 {found[:12]}… where {md5[:12]}… is expected"
        raise DatasetError(f"damaged file: {path}: {seen}", "delete it, then run: cvexp data cifar10")
