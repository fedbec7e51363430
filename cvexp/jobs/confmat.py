"""A run's confusion matrix, counted again from its weights, alone or less another run's; the worst pairs in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np

from cvexp.errors import ConfigError, DatasetError, ModelError, nearest
from cvexp.jobs.confused_pairs import ChangedPair, ConfusedPair, most_changed, most_confused
from cvexp.jobs.source import load_trained
from cvexp.plots.confusion import confusion_matrix
from cvexp.plots.confusion_difference import confusion_difference
from cvexp.plots.files import check_path, save
from cvexp.runs import ID_DIGITS

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure

    from cvexp.data.dataset import Dataset
    from cvexp.jobs.source import TrainedModel
    from cvexp.settings import StoreSettings

Normalize = Literal["none", "true", "pred", "all"]
NORMALIZE: tuple[Normalize, ...] = get_args(Normalize)


@dataclass(frozen=True, kw_only=True, slots=True)
class Versus:
    """The run that was subtracted.

    Attributes:
        matrix: Its own, (K, K).
        difference: (K, K), the run's matrix minus this one's.
        changed: The pairs of different classes whose counts differ most, the largest change first.
    """

    run_id: str
    name: str
    accuracy: float
    matrix: npt.NDArray[np.float64]
    difference: npt.NDArray[np.float64]
    changed: tuple[ChangedPair, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfmatResult:
    """A confusion matrix.

    Attributes:
        matrix: (K, K), rows are true classes; counts, or shares when it is normalised.
        pairs: The most confused pairs, the worst first.
        logged_as: The picture's name in the run; None for an exported file.
        versus: The run it is compared with, if any; the picture then shows the difference.
    """

    run_id: str
    name: str
    dataset: str
    class_names: tuple[str, ...]
    normalize: str
    matrix: npt.NDArray[np.float64]
    pairs: tuple[ConfusedPair, ...]
    accuracy: float
    picture: Path
    logged_as: str | None
    note: str | None
    versus: Versus | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class _Counted:
    """A model's confusion matrix as asked for, the counts int64 (K, K) behind it, and the accuracy."""

    matrix: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    accuracy: float


def run(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    vs: str | None = None,
    normalize: str = "none",
    out: Path | None = None,
    device_name: str = "auto",
    trusted_factory: str | None = None,
) -> ConfmatResult:
    """Count a model's confusion matrix on its test split, draw it to `out`, and log the picture to its run.

    `normalize` is `none` for counts; `true` divides by the true class's images, `pred` by the predicted class's,
    `all` by all images. `vs` names another model on the same test images, whose matrix is subtracted. Without `out`,
    the picture is `confusion_matrix.png` in the working folder, or `confusion_difference.png`, or with `_true`.

    Raises:
        InputError: A run, its weights, the dataset, the device or the output cannot be used, or the test images differ.
    """
    if normalize not in NORMALIZE:
        raise ConfigError(f"unknown normalisation: {normalize!r}", nearest(normalize, NORMALIZE))
    suffix = "" if normalize == "none" else f"_{normalize}"
    kind = "confusion_matrix" if vs is None else "confusion_difference"
    picture = check_path(out or Path(f"{kind}{suffix}.png"))
    trained = _load(selector, settings, device_name, trusted_factory, is_one_of_two=vs is not None)
    other = None if vs is None else _load(vs, settings, device_name, trusted_factory, is_one_of_two=True)
    dataset = trained.load_dataset(data_dir)
    if other is not None:
        _check_same_images(trained, dataset, other, other.load_dataset(data_dir))
    counted = _count(trained, dataset, normalize)
    versus = None if other is None else _subtract(other, dataset, normalize, counted)
    save(_figure(trained.name, dataset, normalize, counted, versus), picture)
    logged_as = None
    if trained.run is not None and trained.store is not None:
        from cvexp.tracking.artifacts import add_file

        of = "" if versus is None else f"_{versus.run_id[:ID_DIGITS]}"
        logged_as = f"{kind}{of}{suffix}{picture.suffix}"
        add_file(trained.store, trained.run, picture, name=logged_as)
    return ConfmatResult(
        run_id=trained.card.run_id,
        name=trained.name,
        dataset=dataset.name,
        class_names=dataset.class_names,
        normalize=normalize,
        matrix=counted.matrix,
        pairs=most_confused(counted.counts, dataset.class_names),
        accuracy=counted.accuracy,
        picture=picture,
        logged_as=logged_as,
        note="; ".join(dict.fromkeys(one.note for one in (trained, other) if one is not None and one.note)) or None,
        versus=versus,
    )


def _load(
    selector: str, settings: StoreSettings, device_name: str, factory: str | None, *, is_one_of_two: bool
) -> TrainedModel:
    """The model; of two, the trusted factory builds only the one that the registry does not know."""
    if is_one_of_two and factory is not None:
        try:
            return load_trained(selector, settings, device_name=device_name)
        except ModelError:
            pass
    return load_trained(selector, settings, device_name=device_name, trusted_factory=factory)


def _check_same_images(a: TrainedModel, of_a: Dataset, b: TrainedModel, of_b: Dataset) -> None:
    import torch

    same = torch.equal(of_a.test.labels, of_b.test.labels) and torch.equal(of_a.test.images, of_b.test.images)
    if not same or of_a.class_names != of_b.class_names:
        sizes = [f"{len(data.test):,} of {data.name}" for data in (of_a, of_b)]
        raise DatasetError(
            f"{a.name} and {b.name} were tested on different images: {sizes[0]}, {sizes[1]}",
            "name two runs with the same dataset, --image-size, --limit and --split-seed",
        )


def _count(trained: TrainedModel, dataset: Dataset, normalize: str) -> _Counted:
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    logits, labels = trained.predictor.logits(dataset.test.images), dataset.test.labels
    n_classes = dataset.n_classes
    counts = multiclass_confusion_matrix(logits, labels, num_classes=n_classes)
    matrix = multiclass_confusion_matrix(logits, labels, num_classes=n_classes, normalize=cast("Normalize", normalize))
    accuracy = float((logits.argmax(dim=1) == labels).to(torch.float64).mean())
    return _Counted(matrix=matrix.numpy().astype(np.float64), counts=counts.numpy(), accuracy=accuracy)


def _subtract(other: TrainedModel, dataset: Dataset, normalize: str, counted: _Counted) -> Versus:
    theirs = _count(other, dataset, normalize)
    return Versus(
        run_id=other.card.run_id,
        name=other.name,
        accuracy=theirs.accuracy,
        matrix=theirs.matrix,
        difference=counted.matrix - theirs.matrix,
        changed=most_changed(counted.counts, theirs.counts, dataset.class_names),
    )


def _figure(name: str, dataset: Dataset, normalize: str, counted: _Counted, versus: Versus | None) -> Figure:
    if versus is None:
        title = f"{name} on {dataset.name}: test accuracy {counted.accuracy:.2%}"
        return confusion_matrix(counted.matrix, dataset.class_names, title=title, normalize=normalize)
    return confusion_difference(
        versus.difference,
        dataset.class_names,
        names=(name, versus.name),
        title=f"{dataset.name}: test accuracy {counted.accuracy:.2%} and {versus.accuracy:.2%}",
        normalize=normalize,
    )
