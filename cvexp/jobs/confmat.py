"""A run's confusion matrix, counted again from its weights, normalised as asked, with the worst pairs in words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from cvexp.errors import ConfigError, nearest
from cvexp.jobs.source import load_trained
from cvexp.plots.confusion import confusion_matrix
from cvexp.plots.files import check_path, save

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from cvexp.settings import StoreSettings

Normalize = Literal["none", "true", "pred", "all"]
NORMALIZE: tuple[Normalize, ...] = get_args(Normalize)
N_PAIRS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfusedPair:
    """How often images of the class `truth` were taken for another; `share` is of the true class's images."""

    truth: str
    taken_for: str
    count: int
    share: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ConfmatResult:
    """A confusion matrix.

    Attributes:
        matrix: (K, K), rows are true classes; counts, or shares when it is normalised.
        pairs: The most confused pairs, the worst first.
        logged_as: The picture's name in the run; None for an exported file.
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


def run(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    normalize: str = "none",
    out: Path | None = None,
    device_name: str = "auto",
    trusted_factory: str | None = None,
) -> ConfmatResult:
    """Count a model's confusion matrix on its test split, draw it to `out`, and log the picture to its run.

    `normalize` is `none` for counts; `true` divides by the true class's images, `pred` by the predicted class's,
    `all` by all images. Without `out`, the picture is `confusion_matrix.png` in the working folder, or with `_true`.

    Raises:
        InputError: The run, its weights, the dataset, the device or the output cannot be used.
    """
    if normalize not in NORMALIZE:
        raise ConfigError(f"unknown normalisation: {normalize!r}", nearest(normalize, NORMALIZE))
    suffix = "" if normalize == "none" else f"_{normalize}"
    picture = check_path(out or Path(f"confusion_matrix{suffix}.png"))
    trained = load_trained(selector, settings, device_name=device_name, trusted_factory=trusted_factory)
    import torch
    from torchmetrics.functional.classification import multiclass_confusion_matrix

    dataset = trained.load_dataset(data_dir)
    logits = trained.predictor.logits(dataset.test.images)
    labels, n_classes = dataset.test.labels, dataset.n_classes
    matrix, counts = (
        multiclass_confusion_matrix(logits, labels, num_classes=n_classes, normalize=how) for how in (normalize, "none")
    )
    accuracy = float((logits.argmax(dim=1) == labels).to(torch.float64).mean())
    title = f"{trained.name} on {dataset.name}: test accuracy {accuracy:.2%}"
    save(confusion_matrix(matrix.numpy(), dataset.class_names, title=title, normalize=normalize), picture)
    logged_as = None
    if trained.run is not None and trained.store is not None:
        from cvexp.tracking.artifacts import add_file

        logged_as = f"confusion_matrix{suffix}{picture.suffix}"
        add_file(trained.store, trained.run, picture, name=logged_as)
    return ConfmatResult(
        run_id=trained.card.run_id,
        name=trained.name,
        dataset=dataset.name,
        class_names=dataset.class_names,
        normalize=normalize,
        matrix=matrix.numpy().astype(np.float64),
        pairs=most_confused(counts.numpy(), dataset.class_names),
        accuracy=accuracy,
        picture=picture,
        logged_as=logged_as,
        note=trained.note,
    )


def most_confused(counts: npt.NDArray[np.int64], class_names: Sequence[str]) -> tuple[ConfusedPair, ...]:
    """The N_PAIRS pairs with the most images off the diagonal of `counts`, int64 (K, K) with true classes as rows."""
    off = counts.copy()
    np.fill_diagonal(off, 0)
    support = np.maximum(counts.sum(axis=1), 1)
    worst = np.argsort(-off, axis=None, kind="stable")[:N_PAIRS]
    pairs = zip(*np.unravel_index(worst, off.shape), strict=True)
    return tuple(
        ConfusedPair(
            truth=class_names[i], taken_for=class_names[j], count=int(off[i, j]), share=float(off[i, j] / support[i])
        )
        for i, j in pairs
        if off[i, j]
    )
