"""The datasets by name, without torch. Entry points of the group `cvexp.datasets` add a DatasetSpec each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.data.cifar import Cifar10Source
from cvexp.data.idx import IdxFile, IdxSource
from cvexp.data.sources import MlxtendDigits, SklearnDigits
from cvexp.errors import DatasetError, nearest
from cvexp.imports import entry_points

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from cvexp.data.sources import Source

ENTRY_POINTS = "cvexp.datasets"


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetSpec:
    """What is known of a dataset before any of it is read.

    `title` says in a line what the images show; `class_names` are in label order; `image_shape` is (C, H, W); `n_train`
    and `n_test` count the images of the published splits.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    n_train: int
    n_test: int
    source: Source


_SHAPES = {
    "train-images-idx3-ubyte": (60000, 28, 28),
    "train-labels-idx1-ubyte": (60000,),
    "t10k-images-idx3-ubyte": (10000, 28, 28),
    "t10k-labels-idx1-ubyte": (10000,),
}


def _mnist_files(*digests: str, key: str = "sha256") -> tuple[IdxFile, ...]:
    """The four files of a dataset in MNIST's layout, and their digests, which `IdxFile` takes as `key`."""
    pairs = zip(_SHAPES.items(), digests, strict=True)
    return tuple(IdxFile(name, shape, **{key: digest}) for (name, shape), digest in pairs)


_FASHION_FILES = _mnist_files(
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
)
_MNIST_FILES = _mnist_files(
    "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
)
# For KMNIST, only the digests of the `.gz` files are published.
_KMNIST_FILES = _mnist_files(
    "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    key="gz_sha256",
)


def _mnist_family(
    name: str,
    title: str,
    class_names: tuple[str, ...],
    files: tuple[IdxFile, ...],
    *,
    torchvision: str,
    others: tuple[IdxFile, ...] = (),
    apt_package: str | None = None,
) -> DatasetSpec:
    digests = frozenset(file.sha256 for file in others if file.sha256)
    return DatasetSpec(
        name=name,
        title=title,
        class_names=class_names,
        image_shape=(1, 28, 28),
        n_train=60000,
        n_test=10000,
        source=IdxSource(dataset=name, torchvision=torchvision, files=files, others=digests, apt_package=apt_package),
    )


_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")

BUILTIN: tuple[DatasetSpec, ...] = (
    _mnist_family(
        "fashion-mnist",
        "clothes from the Zalando shop, grey",
        _CLOTHES,
        _FASHION_FILES,
        torchvision="FashionMNIST",
        others=_MNIST_FILES,
        apt_package="dataset-fashion-mnist",
    ),
    _mnist_family(
        "mnist", "handwritten digits, grey", _DIGITS, _MNIST_FILES, torchvision="MNIST", others=_FASHION_FILES
    ),
    _mnist_family(
        "kmnist",
        "cursive Japanese characters, grey",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        _KMNIST_FILES,
        torchvision="KMNIST",
        others=(*_FASHION_FILES, *_MNIST_FILES),
    ),
    DatasetSpec(
        name="cifar10",
        title="animals and vehicles, colour",
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        image_shape=(3, 32, 32),
        n_train=50000,
        n_test=10000,
        source=Cifar10Source(),
    ),
    DatasetSpec(
        name="mnist-5k",
        title="5,000 of MNIST's digits, no download",
        class_names=_DIGITS,
        image_shape=(1, 28, 28),
        n_train=4000,
        n_test=1000,
        source=MlxtendDigits(),
    ),
    DatasetSpec(
        name="digits",
        title="scikit-learn's small digits, no download",
        class_names=_DIGITS,
        image_shape=(1, 8, 8),
        n_train=1437,
        n_test=360,
        source=SklearnDigits(),
    ),
)


def specs() -> dict[str, DatasetSpec]:
    """Every dataset by name: the built-in ones, then those of installed plug-ins that can be loaded."""
    known = {spec.name: spec for spec in BUILTIN}
    for point in entry_points(group=ENTRY_POINTS):
        with contextlib.suppress(DatasetError):
            known.setdefault(point.name, _plugged_in(point))
    return known


def _plugged_in(point: EntryPoint) -> DatasetSpec:
    try:
        spec = point.load()
    except Exception as error:  # a plug-in may raise anything
        raise DatasetError(f"dataset {point.name!r} cannot be loaded from {point.value}: {error}") from error
    if not isinstance(spec, DatasetSpec):
        raise DatasetError(f"dataset {point.name!r} is no DatasetSpec: {point.value}")
    return spec


def find_spec(name: str) -> DatasetSpec:
    """The dataset called `name`.

    Raises:
        DatasetError: There is none, and the nearest name is suggested; or its plug-in cannot be loaded.
    """
    for spec in BUILTIN:
        if spec.name == name:
            return spec
    for point in entry_points(group=ENTRY_POINTS):
        if point.name == name:
            return _plugged_in(point)
    raise DatasetError(f"unknown dataset: {name!r}", nearest(name, specs()))
