"""Whether a classifier's confidence says how often it is right: expected calibration error and reliability bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt

N_BINS = 15
N_RESAMPLES, LEAST_RESAMPLES, MOST_DRAWS = 1000, 200, 10**7
"""Bootstrap samples: as many as draw `MOST_DRAWS` images together, within the two bounds."""

SEED = 0
Z95 = 1.959963984540054
"""The 97.5% quantile of the standard normal distribution."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bin:
    """Images whose confidence is in [`low`, `high`].

    `confidence` is the mean over the `n_images`; `accuracy` has a 95% Wilson interval.
    """

    low: float
    high: float
    n_images: int
    confidence: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """How confidence and accuracy agree. The error says nothing about accuracy: read it beside log-loss and Brier.

    Attributes:
        error: The expected calibration error (ECE) in [0, 1]: |mean confidence - accuracy| of a bin, averaged over
            images.
        low: Of its 95% interval over images; 0 where the error is no larger than chance makes it. `high` likewise.
        confidence: Mean over all images; `accuracy` likewise.
        bins: With about the same number of images each, by ascending confidence.
    """

    error: float
    low: float
    high: float
    confidence: float
    accuracy: float
    bins: tuple[Bin, ...]


def calibration(
    confidence: npt.NDArray[np.float64], correct: npt.NDArray[np.bool_], *, n_bins: int = N_BINS
) -> Calibration:
    """Compare the predicted class's probability with how often it was right.

    Bins hold equally many images (Nguyen and O'Connor, 2015), since bins of equal width leave most images of a good
    model in the last one; images of equal confidence stay together.

    The error is biased upwards: noise in a bin has no sign. So a percentile interval does not cover 0 for a model that
    is calibrated. The lower end is the error less what noise alone reaches in 95% of samples: of the bootstrap over the
    images, or of a calibrated model with these confidences, whichever is more (bins without a mistake have no spread
    to resample). By the triangle inequality the true error is below that in about 5% of samples at most. The upper end
    is the percentile bootstrap's, to which the bias adds. Coverage is measured in tests/test_calibration.py.

    Args:
        confidence: float64 (N,) in [0, 1], finite, N at least 1.
        correct: bool (N,).
        n_bins: At most so many bins.
    """
    order = np.argsort(confidence, kind="stable")
    ordered, hits = confidence[order], correct[order].astype(np.float64)
    n_images = len(ordered)
    quantiles = ordered[np.arange(n_bins) * n_images // n_bins]
    starts = np.unique(np.searchsorted(ordered, quantiles))
    ends = [*starts[1:], n_images]
    gaps = np.add.reduceat(ordered - hits, starts) / n_images
    error = float(np.abs(gaps).sum())
    resampled = _resampled(ordered - hits, starts)
    noise = max(
        float(np.quantile(np.abs(around).sum(axis=1), 0.95))
        for around in (resampled - gaps, _noise_if_calibrated(ordered, starts))
    )
    return Calibration(
        error=error,
        low=max(0.0, error - noise),
        high=float(np.quantile(np.abs(resampled).sum(axis=1), 0.975)),
        confidence=float(ordered.mean()),
        accuracy=float(hits.mean()),
        bins=tuple(_bin(ordered[start:end], hits[start:end]) for start, end in zip(starts, ends, strict=True)),
    )


def _resampled(gaps: npt.NDArray[np.float64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each bin's sum of `gaps` over N, in bootstrap samples of the N images, which keep their bins: (samples, bins)."""
    rng, n_images = np.random.default_rng(SEED), len(gaps)
    n_resamples = min(N_RESAMPLES, max(LEAST_RESAMPLES, MOST_DRAWS // n_images))
    found = np.empty((n_resamples, len(starts)))
    for k in range(n_resamples):
        times = np.bincount(rng.integers(n_images, size=n_images), minlength=n_images)
        found[k] = np.add.reduceat(times * gaps, starts) / n_images
    return found


def _noise_if_calibrated(confidence: npt.NDArray[np.float64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Each bin's gap over N in samples of a calibrated model, with normal noise: (samples, bins)."""
    deviations = np.sqrt(np.add.reduceat(confidence * (1 - confidence), starts)) / len(confidence)
    draws: npt.NDArray[np.float64] = np.random.default_rng(SEED).standard_normal((N_RESAMPLES, len(starts)))
    return draws * deviations


def _bin(confidence: npt.NDArray[np.float64], hits: npt.NDArray[np.float64]) -> Bin:
    accuracy = float(hits.mean())
    low, high = wilson(accuracy, len(hits))
    return Bin(
        low=float(confidence[0]),
        high=float(confidence[-1]),
        n_images=len(hits),
        confidence=float(confidence.mean()),
        accuracy=accuracy,
        accuracy_low=low,
        accuracy_high=high,
    )


def wilson(share: float, n: int) -> tuple[float, float]:
    """The 95% interval of a binomial proportion (Wilson, 1927), for `share` of n trials, n at least 1."""
    scale = 1 + Z95**2 / n
    centre = (share + Z95**2 / (2 * n)) / scale
    half = Z95 / scale * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return max(0.0, float(centre - half)), min(1.0, float(centre + half))
