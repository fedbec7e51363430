"""An arm: the repeats of one recipe on one set of test images, with or without a record of every image."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from cvexp.errors import InputError
from cvexp.stats.difference import Estimate, SeedVariance, estimate
from cvexp.stats.inputs import check_images, check_seeds, check_weights, correctness, matching_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, eq=False)
class Arm:
    """The test accuracy of one recipe, seed by seed. Arms to compare have the same test images in the same order.

    Attributes:
        name: Unique among the arms of a comparison; it stands in the results and sentences.
        correct: Bool (n, N): whether seed s classifies image i correctly; None where no record of the images exists.
        weights: Float (N,), at least 0, of mean 1: how much each image counts, the same in all arms; None where
            each counts the same. With those of `class_weights` the accuracy is the balanced one.
        accuracies: Float (n,) in [0, 1]: needed only without `correct`, which otherwise decides.
        seeds: One per row, each once; None where they are unknown, and then arms with equally many rows are paired by
            position.

    Raises:
        InputError: Values, shapes or seeds that do not fit, or neither `correct` nor `accuracies`.
    """

    name: str
    correct: npt.NDArray[np.bool_] | None = None
    weights: npt.NDArray[np.float64] | None = None
    accuracies: Sequence[float] | npt.NDArray[np.float64] | None = None
    seeds: Sequence[int] | None = None

    def __post_init__(self) -> None:
        if self.correct is not None:
            object.__setattr__(self, "correct", correctness(self.correct, self.name))
            check_weights(self.weights, self.correct.shape[1], self.name)
        n_seeds = self.n_seeds
        if self.seeds is not None:
            check_seeds(self.seeds, n_seeds, f"seeds of {self.name}")

    @cached_property
    def values(self) -> npt.NDArray[np.bool_] | npt.NDArray[np.float64] | None:
        """What an image adds to the mean, (n, N): bool, or float64 with weights; None without a record."""
        return self.correct if self.correct is None or self.weights is None else self.correct * self.weights

    @cached_property
    def per_seed(self) -> npt.NDArray[np.float64]:
        """Accuracy of every seed, float64 (n,)."""
        if self.values is not None:
            return np.asarray(self.values.mean(axis=1, dtype=np.float64))
        x = np.asarray(() if self.accuracies is None else self.accuracies, dtype=np.float64)
        if x.ndim != 1 or not x.size or not ((x >= 0) & (x <= 1)).all():
            raise InputError(f"{self.name}: expected correctness per image, or one accuracy in [0, 1] per seed")
        return x

    @property
    def n_seeds(self) -> int:
        """Rows."""
        return len(self.per_seed)

    @property
    def mean(self) -> float:
        """Mean accuracy over the seeds."""
        return float(self.per_seed.mean())


def class_weights(labels: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Weights of images, float64 (N,) of mean 1, by which each class counts the same, however many images it has.

    The weight of an image is N / (K n), with n the images of its class and K the number of classes that have any. The
    mean of weighted correctness is then the balanced accuracy.

    Args:
        labels: Int (N,) in [0, ...), N at least 1.
    """
    sizes = np.bincount(labels)
    return len(labels) / (np.count_nonzero(sizes) * sizes[labels].astype(np.float64))


def check_alike(a: Arm, b: Arm) -> None:
    """Refuse arms of different images, or whose images count differently.

    Raises:
        InputError: They are.
    """
    if a.correct is not None and b.correct is not None:
        check_images(a.correct, b.correct)
    ours, theirs = (np.ones(1) if arm.weights is None else arm.weights for arm in (a, b))
    if not np.array_equal(ours, theirs):
        raise InputError(f"expected the same weights of the images in {a.name} and {b.name}")


def n_equal(weights: npt.NDArray[np.float64]) -> int:
    """See `Estimate`."""
    return max(1, int(weights.sum() ** 2 / np.square(weights).sum()))


def pairing(a: Arm, b: Arm) -> npt.NDArray[np.intp] | None:
    """For every row of a the row of b with the same seed, or None where arms are not paired: see `matching_rows`."""
    if (a.seeds is None) != (b.seeds is None):
        return None  # nothing says that row s of one was trained like row s of the other
    return matching_rows(a.n_seeds, b.n_seeds, a.seeds, b.seeds)


def arm_estimate(a: Arm, b: Arm) -> Estimate | None:
    """The difference of two arms; None where an arm has one seed, or there is one image.

    With records of the images in both arms: two-way random effects, see `accuracy_difference`. Without: Welch's
    interval on the accuracies per seed (Welch 1947; n_images is 0), which is about retraining and these test images. It
    stays Welch's where the seeds match: pairing would narrow it further while the variance of the images is unknown.

    Raises:
        InputError: Different numbers of images.
    """
    least = 2
    if min(a.n_seeds, b.n_seeds) < least:
        return None
    if a.values is not None and b.values is not None:
        check_alike(a, b)
        if a.values.shape[1] == 1:
            return None
        found = estimate(a.values, b.values, pairing(a, b))
        return found if a.weights is None else replace(found, binary=True, n_equal=n_equal(a.weights))
    seeds = tuple(SeedVariance(variance=float(x.var(ddof=1)), residual=0.0, n=len(x)) for x in (a.per_seed, b.per_seed))
    return Estimate(mean=a.mean - b.mean, seeds=seeds, image_variance=0.0, n_images=0, binary=False)
