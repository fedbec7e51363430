"""Arrays in an npz file, as Keras and MedMNIST publish them: images, labels, and their splits."""

from __future__ import annotations

import hashlib
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cvexp.data.arrays import checked
from cvexp.data.dataset import DIGEST_DIGITS, Dataset, content_digest
from cvexp.data.own.listing import MAX_CLASSES, check_classes, with_test_part
from cvexp.data.registry import DatasetSpec
from cvexp.data.sources import Arrays, Installed
from cvexp.data.split import Split
from cvexp.errors import DatasetError
from cvexp.text import clean, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from cvexp.data.named import Located

_KEYS = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels"), ("images", "labels"), ("x", "y")),
    "val": (("x_val", "y_val"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
_WANTED = "wanted: uint8 x_train (N, H, W) or (N, H, W, 3), integers y_train (N,), likewise x_test and y_test"
_CHANNELS = (1, 3)


def load_npz(located: Located) -> Dataset:
    """The arrays as a dataset, in memory; without a test part, a fifth of each class is one.

    The file may have `class_names`, text of shape (K,); otherwise classes are called by their numbers.

    Raises:
        DatasetError: It is no such file, holds pickled objects, more than there is memory, or arrays that do not fit.
    """
    arrays = _read(located)
    parts = {name: part for name in _KEYS if (part := _part(located, arrays, name)) is not None}
    if "train" not in parts:
        raise DatasetError(f"{located.path} has no training images, but {shown(sorted(arrays))}", _WANTED)
    names = _class_names(located, arrays)
    if "test" not in parts:
        images, labels = parts["train"]
        is_test = with_test_part(labels, located, names).astype(bool)
        parts |= {"train": (images[~is_test], labels[~is_test]), "test": (images[is_test], labels[is_test])}
    spec = DatasetSpec(
        name=located.name,
        title="arrays",
        class_names=names,
        image_shape=parts["train"][0].shape[1:],
        n_train=len(parts["train"][1]),
        n_test=len(parts["test"][1]),
        source=Installed(),  # type: ignore[arg-type]  # it is never read: the arrays are here
    )
    sound = checked(spec, _as_arrays(parts["train"], parts["test"]))
    val = checked(spec, _as_arrays(parts["val"], parts["test"])) if "val" in parts else None
    digest = content_digest(sound)
    if val is not None:
        digest = hashlib.sha256((digest + content_digest(val)).encode()).hexdigest()[:DIGEST_DIGITS]
    return Dataset(
        name=located.name,
        class_names=names,
        train=_split(sound.train_images, sound.train_labels),
        val=None if val is None else _split(val.train_images, val.train_labels),
        test=_split(sound.test_images, sound.test_labels),
        digest=digest,
        place=clean(located.path.absolute()),
    )


def class_names(located: Located) -> tuple[str, ...]:
    """The classes in label order."""
    return _class_names(located, _read(located))


def _as_arrays(train: tuple[Any, Any], test: tuple[Any, Any]) -> Arrays:
    return Arrays(train_images=train[0], train_labels=train[1], test_images=test[0], test_labels=test[1])


def _split(images: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> Split:
    return Split(images=torch.from_numpy(images), labels=torch.from_numpy(labels))


def _read(located: Located) -> dict[str, npt.NDArray[Any]]:
    """The arrays of the file, after a look at their headers."""
    path = located.path
    try:
        with zipfile.ZipFile(path) as archive:
            _check_headers(located, archive)
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except (zipfile.BadZipFile, ValueError, EOFError, NotImplementedError, RuntimeError) as error:
        raise DatasetError(f"{path} is no sound npz file: {' '.join(str(error).split())[:100]}", _WANTED) from error
    except OSError as error:
        raise DatasetError(f"cannot read {path}: {error.strerror or error}", "name an npz file after npz:") from error


def _check_headers(located: Located, archive: zipfile.ZipFile) -> None:
    """Refuse pickled objects, members that are no arrays, and arrays that say they are larger than the free memory."""
    import psutil

    total = 0
    for name in archive.namelist():
        if not name.endswith(".npy") or "/" in name or "\\" in name:
            raise DatasetError(f"{located.path} holds {shown(name)}, which is no array", _WANTED)
        with archive.open(name) as stream:
            version = np.lib.format.read_magic(stream)
            if version not in ((1, 0), (2, 0)):
                raise DatasetError(f"{located.path}: {shown(name)} has the unknown format {version}", _WANTED)
            read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, _, dtype = read(stream)
        if dtype.hasobject:
            raise DatasetError(f"{located.path}: {name} holds pickled objects, which can run code", _WANTED)
        total += int(np.prod(shape, dtype=object)) * dtype.itemsize
    free = psutil.virtual_memory().available
    if 2 * total > free:  # read, then made contiguous
        raise DatasetError(
            f"{located.path} holds {total / 2**30:,.1f} GiB of arrays, and half of {free / 2**30:,.1f} GiB is free",
            "write the images as files, which need not be in memory: --dataset FOLDER",
        )


def _part(
    located: Located, arrays: Mapping[str, npt.NDArray[Any]], name: str
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]] | None:
    """Images (N, C, H, W) and labels (N,) of a split; None where there is none."""
    for images_key, labels_key in _KEYS[name]:
        if images_key in arrays and labels_key in arrays:
            labels = arrays[labels_key]
            labels = labels[:, 0] if labels.ndim == 2 and labels.shape[1] == 1 else labels  # noqa: PLR2004
            return _channels_first(located, images_key, arrays[images_key]), labels
    return None


def _channels_first(located: Located, key: str, images: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if images.ndim == 3:  # noqa: PLR2004 - (N, H, W)
        return images[:, None]
    if images.ndim == 4:  # noqa: PLR2004
        first, last = images.shape[1] in _CHANNELS, images.shape[3] in _CHANNELS
        if first != last:
            return images if first else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    raise DatasetError(f"{located.path}: {key} is {'x'.join(map(str, images.shape))}: no images", _WANTED)


def _class_names(located: Located, arrays: Mapping[str, npt.NDArray[Any]]) -> tuple[str, ...]:
    given = arrays.get("class_names")
    if given is not None and given.ndim == 1 and given.dtype.kind == "U":
        names = tuple(map(str, given))
    else:
        labels = [arrays[key] for keys in _KEYS.values() for _, key in keys if key in arrays]
        if not labels or not all(one.size and np.issubdtype(one.dtype, np.integer) for one in labels):
            raise DatasetError(f"{located.path} has no integer labels, but {shown(sorted(arrays))}", _WANTED)
        n_classes = 1 + max(int(one.max()) for one in labels)
        names = tuple(map(str, range(min(n_classes, MAX_CLASSES + 1))))
    check_classes(located, names)
    return names
