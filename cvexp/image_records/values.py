"""The records of a split as arrays: built from logits, scored, and joined with another run's."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from annotated_types import Ge, Le, MaxLen

from cvexp.errors import RunError

if TYPE_CHECKING:
    import numpy.typing as npt

MOST_CLASSES = 20
"""Log-probabilities of every class are stored up to so many; with more, of the likeliest `N_TOP` and the label."""

N_TOP = 5
MAX_CLASSES = 2**17
LOWEST = float(np.finfo(np.float16).min)
"""The lowest log-probability that float16 holds; a probability below exp(-65504), or 0, is stored as that."""

_CHUNK = 2**14
"""Images whose logits are float64 at a time."""

Digest = Annotated[str, MaxLen(64)]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecordsInfo:
    """Which images the records are of, and in which order.

    Attributes:
        data_digest: Of the dataset as published; see `data.dataset.content_digest`.
        test_set: Of the run's test images; see `comparability.test_set`.
        split: Which part of the dataset.
        split_seed: Chose the images, where any were left out.
        order_digest: Of the images and their order; see `order_digest`.
        n_classes: K.
        schema_version: Of the file.
    """

    data_digest: Digest
    test_set: Annotated[str, MaxLen(200)]
    split: Literal["val", "test"]
    split_seed: Annotated[int, Ge(0), Le(2**32)]
    order_digest: Digest
    n_classes: Annotated[int, Ge(1), Le(MAX_CLASSES)]
    schema_version: Literal[1] = 1


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ImageRecords:
    """What a model said of the N images of a split, in the split's order. Build it with `from_logits`.

    Log-probabilities are in [-65504, 0], or NaN where the model's logits were not finite.

    Attributes:
        labels: int64 (N,) in [0, K).
        predicted: int64 (N,) in [0, K), the likeliest class.
        label_log_probabilities: float16 (N,), of each image's label.
        log_probabilities: float16 (N, K), classes in label order; None where K is above 20.
        top_classes: int64 (N, 5), the likeliest classes, the first being `predicted`; None where K is at most 20.
        top_log_probabilities: float16 (N, 5), theirs, descending.
        all_class_brier: float32 (N,), see `brier`; None where K is at most 20, since it follows from log_probabilities.
        about: Which images.
    """

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    label_log_probabilities: npt.NDArray[np.float16]
    log_probabilities: npt.NDArray[np.float16] | None
    top_classes: npt.NDArray[np.int64] | None = None
    top_log_probabilities: npt.NDArray[np.float16] | None = None
    all_class_brier: npt.NDArray[np.float32] | None = None
    about: RecordsInfo

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the likeliest class is the label: bool (N,)."""
        hits: npt.NDArray[np.bool_] = self.labels == self.predicted
        return hits

    @property
    def log_loss(self) -> npt.NDArray[np.float64]:
        """Minus the log-probability of the label, nats: float64 (N,); its mean is the cross-entropy."""
        return -self.label_log_probabilities.astype(np.float64)

    @property
    def confidence(self) -> npt.NDArray[np.float64]:
        """The probability of the likeliest class: float64 (N,) in [0, 1]."""
        if self.log_probabilities is not None:
            logs = np.take_along_axis(self.log_probabilities, self.predicted[:, None], axis=1)[:, 0]
        else:
            assert self.top_log_probabilities is not None  # noqa: S101 - one of the two is there
            logs = self.top_log_probabilities[:, 0]
        return np.exp(logs.astype(np.float64))

    @property
    def brier(self) -> npt.NDArray[np.float64]:
        """The sum over classes of (p - y)^2, y being 1 for the label: float64 (N,) in [0, 2] (Brier, 1950)."""
        if self.all_class_brier is not None:
            return self.all_class_brier.astype(np.float64)
        assert self.log_probabilities is not None  # noqa: S101 - one of the two is there
        return _brier(self.log_probabilities.astype(np.float64), self.labels)


def from_logits(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], predicted: npt.NDArray[np.int64], about: RecordsInfo
) -> ImageRecords:
    """The records of one pass over a split.

    Args:
        logits: float32 (K, N).
        labels: int64 (N,) in [0, K).
        predicted: int64 (N,), the class with the largest logit: which of several, the caller decides.
        about: The images.
    """
    n_classes, n_images = logits.shape
    n_stored = n_classes if n_classes <= MOST_CLASSES else N_TOP
    logs = np.empty((n_images, n_stored), dtype=np.float16)
    of_label = np.empty(n_images, dtype=np.float16)
    complete = n_classes <= MOST_CLASSES
    classes = None if complete else np.empty((n_images, n_stored), dtype=np.int64)
    brier = None if complete else np.empty(n_images, dtype=np.float32)
    for start in range(0, n_images, _CHUNK):
        here = slice(start, start + _CHUNK)
        found = _log_softmax(logits[:, here].T.astype(np.float64))
        of_label[here] = np.take_along_axis(found, labels[here, None], axis=1)[:, 0]
        if classes is not None and brier is not None:
            brier[here] = _brier(found, labels[here])
            classes[here] = _likeliest(found, predicted[here])
            found = np.take_along_axis(found, classes[here], axis=1)
        logs[here] = found
    return ImageRecords(
        labels=labels,
        predicted=predicted,
        label_log_probabilities=of_label,
        log_probabilities=logs if complete else None,
        top_classes=classes,
        top_log_probabilities=None if complete else logs,
        all_class_brier=brier,
        about=about,
    )


def _log_softmax(logits: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Log-probabilities (N, K) that float16 can hold."""
    with np.errstate(invalid="ignore", over="ignore"):  # logits of a model that diverged
        shifted = logits - logits.max(axis=1, keepdims=True)
        found = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    clipped: npt.NDArray[np.float64] = np.clip(found, LOWEST, 0.0)
    return clipped


def _brier(logs: npt.NDArray[np.float64], labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """See `ImageRecords.brier`; `logs` are (N, K)."""
    differences = np.exp(logs)
    differences[np.arange(len(labels)), labels] -= 1
    scores: npt.NDArray[np.float64] = np.square(differences).sum(axis=1)
    return scores


def _likeliest(logs: npt.NDArray[np.float64], predicted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The `N_TOP` likeliest classes of each row, `predicted` first."""
    ranked = logs.copy()
    np.put_along_axis(ranked, predicted[:, None], np.inf, axis=1)
    return np.argsort(-ranked, axis=1, kind="stable")[:, :N_TOP]


def order_digest(identities: npt.NDArray[np.uint8], labels: npt.NDArray[np.int64]) -> str:
    """Identify a split's images and labels (N,), and their order: a SHA-256 of both, in hexadecimal.

    `identities` (N, ...) are the images, or what stands for them; see `data.split.Split`.
    """
    digest = hashlib.sha256()
    for array, dtype in ((identities, "u1"), (labels, "<i8")):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array, dtype=dtype).data)
    return digest.hexdigest()


def check_same_images(a: ImageRecords, b: ImageRecords) -> None:
    """Refuse to join the records of two runs unless row i of both is the same image; RunError says what differs.

    Another split seed is no reason, where it chose the same images.
    """
    for name, what in (("data_digest", "datasets"), ("split", "splits"), ("n_classes", "numbers of classes")):
        ours, theirs = getattr(a.about, name), getattr(b.about, name)
        if ours != theirs:
            raise RunError(f"these runs have records of different {what}: {ours} and {theirs}", _REMEDY_OTHER)
    if a.about.order_digest != b.about.order_digest or not np.array_equal(a.labels, b.labels):
        seeds = {a.about.split_seed, b.about.split_seed}
        why = f" (split seeds {a.about.split_seed} and {b.about.split_seed})" if len(seeds) > 1 else ""
        raise RunError(
            f"these runs have records of other {a.about.split} images, or in another order{why}", _REMEDY_OTHER
        )


_REMEDY_OTHER = "compare runs with the same dataset, --val-split, --split-seed and --limit"
