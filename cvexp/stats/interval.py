"""The mean of one figure over the seeds of one recipe, with its interval, and seeds that did not learn."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from cvexp.errors import InputError

if TYPE_CHECKING:
    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A mean over n values with its confidence interval, in the unit of the values.

    Attributes:
        mean: Arithmetic mean.
        std: Standard deviation of the values, with n - 1 in the denominator; None when n < 2.
        low: Lower limit; None when there is no interval (n < 2, or withheld: see `mean_interval`).
        high: Upper limit; None together with `low`.
        n: Number of values.
    """

    mean: float
    std: float | None
    low: float | None
    high: float | None
    n: int


def mean_interval(values: npt.ArrayLike, *, confidence: float = 0.95, n_classes: int | None = None) -> Interval:
    """The mean of independent values, one per seed, with Student's t interval (Student 1908).

    Args:
        values: Float (n,), n >= 1, finite; one value per seed.
        confidence: Of the two-sided interval, in (0, 1).
        n_classes: Given where the values are accuracies: the interval is withheld when a seed has `collapsed`, since
            the mean of runs that learned and runs that did not describes neither.

    Raises:
        InputError: No values, or a value that is not finite.
    """
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or not x.size or not np.isfinite(x).all():
        raise InputError(f"expected one finite value per seed, got an array of shape {x.shape}")
    if not 0 < confidence < 1:
        raise InputError(f"confidence: expected a number between 0 and 1, got {confidence}")
    n, mean = len(x), float(x.mean())
    std = float(x.std(ddof=1)) if n > 1 else None
    if std is None or (n_classes is not None and any(collapsed(x, n_classes))):
        return Interval(mean=mean, std=std, low=None, high=None, n=n)
    half = float(stdtrit(n - 1, (1 + confidence) / 2)) * std / math.sqrt(n)
    return Interval(mean=mean, std=std, low=mean - half, high=mean + half, n=n)


def collapsed(accuracies: npt.ArrayLike, n_classes: int, *, largest_share: float | None = None) -> tuple[bool, ...]:
    """Which seeds did not learn: accuracy at most `chance + min(chance / 2, (1 - chance) / 20)`.

    A network whose output no longer depends on the image names one class for every image, and its accuracy is that
    class's share of the test images, at most `largest_share`. The allowance is for shares that are not known exactly
    and for the few images on which such a network still differs; it is half of chance where there are many classes, and
    a twentieth of the way to 100% where there are few. Limits: 52.5% for 2 classes, 14.5% for 10, 1.5% for 100.

    Args:
        accuracies: Float (n,) in [0, 1], one per seed.
        n_classes: At least 2.
        largest_share: Share of the most frequent class among the test images; `1 / n_classes` when not given.
    """
    x = np.asarray(accuracies, dtype=np.float64)
    least = 2
    if n_classes < least:
        raise InputError(f"n_classes: expected at least {least}, got {n_classes}")
    chance = 1 / n_classes if largest_share is None else largest_share
    limit = chance + min(chance / 2, (1 - chance) / 20)
    return tuple((x <= limit).tolist())
