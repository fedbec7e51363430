"""The datasets by name. Others join through the entry-point group `cvexp.datasets`.

An entry point names a DatasetSpec. Nothing here imports torch.
"""

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

    Attributes:
        name: As typed on the command line.
        title: What the images show, in a line.
        class_names: In label order.
        image_shape: (C, H, W).
        n_train: Images in the published training split.
        n_test: Images in the published test split.
        source: Where its bytes come from.
    """

    name: str
    title: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    n_train: int
    n_test: int
    source: Source


def _mnist_files(*digests: str, packed: bool = False) -> tuple[IdxFile, ...]:
    """The four files of a dataset in MNIST's layout.

    Args:
        *digests: SHA-256 of train images, train labels, test images, test labels.
        packed: Whether they are of the published `.gz` files; else of the uncompressed content.
    """
    shapes = {
        "train-images-idx3-ubyte": (60000, 28, 28),
        "train-labels-idx1-ubyte": (60000,),
        "t10k-images-idx3-ubyte": (10000, 28, 28),
        "t10k-labels-idx1-ubyte": (10000,),
    }
    return tuple(
        IdxFile(name, shape, gz_sha256=digest) if packed else IdxFile(name, shape, sha256=digest)
        for (name, shape), digest in zip(shapes.items(), digests, strict=True)
    )


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
# Only the digests of the packed files are published for KMNIST.
_KMNIST_FILES = _mnist_files(
    "51467d22d8cc72929e2a028a0428f2086b092bb31cfb79c69cc0a90ce135fde4",
    "e38f9ebcd0f3ebcdec7fc8eabdcdaef93bb0df8ea12bee65224341c8183d8e17",
    "edd7a857845ad6bb1d0ba43fe7e794d164fe2dce499a1694695a792adfac43c5",
    "20bb9a0ef54c7db3efc55a92eef5582c109615df22683c380526788f98e42a1c",
    packed=True,
)


def _digests(*groups: tuple[IdxFile, ...]) -> frozenset[str]:
    return frozenset(file.sha256 for group in groups for file in group if file.sha256)


_DIGITS = tuple("0123456789")

BUILTIN: tuple[DatasetSpec, ...] = (
    DatasetSpec(
        name="fashion-mnist",
        title="clothes from the Zalando shop, grey",
        class_names=(
            "T-shirt/top",
            "Trouser",
            "Pullover",
            "Dress",
            "Coat",
            "Sandal",
            "Shirt",
            "Sneaker",
            "Bag",
            "Ankle boot",
        ),
        image_shape=(1, 28, 28),
        n_train=60000,
        n_test=10000,
        source=IdxSource(
            dataset="fashion-mnist",
            torchvision="FashionMNIST",
            files=_FASHION_FILES,
            others=_digests(_MNIST_FILES),
            apt_package="dataset-fashion-mnist",
        ),
    ),
    DatasetSpec(
        name="mnist",
        title="handwritten digits, grey",
        class_names=_DIGITS,
        image_shape=(1, 28, 28),
        n_train=60000,
        n_test=10000,
        source=IdxSource(dataset="mnist", torchvision="MNIST", files=_MNIST_FILES, others=_digests(_FASHION_FILES)),
    ),
    DatasetSpec(
        name="kmnist",
        title="cursive Japanese characters, grey",
        class_names=("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        image_shape=(1, 28, 28),
        n_train=60000,
        n_test=10000,
        source=IdxSource(
            dataset="kmnist", torchvision="KMNIST", files=_KMNIST_FILES, others=_digests(_FASHION_FILES, _MNIST_FILES)
        ),
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
