"""How many seeds or images would settle a comparison, planned on the margin and never on the observed difference."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scipy.special import ndtri

from cvexp.stats.difference import quantile

if TYPE_CHECKING:
    from cvexp.stats.difference import Estimate

LEAST_SEEDS = 3
"""Fewer seeds in an arm give no verdict about recipes: a variance of two values has one degree of freedom."""

MOST_SEEDS = 2**30
"""Beyond it the half-width no longer falls in floating point."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """What settles a comparison: n_seeds in each arm, or, where no number of seeds does, n_images with many seeds."""

    n_seeds: int | None
    n_images: int | None


def plan(estimate: Estimate, margin: float, *, level: float = 0.05) -> Plan:
    """The smallest n at which the interval's half-width is at most `margin`, or the images that it takes.

    `t · sqrt(V∞ + S²/n) <= margin`, with `V∞ = (s² - R/n)/N` and t for the degrees of freedom expected at n. Where
    `t(N - 1) · sqrt(V∞) >= margin`, no number of seeds is enough, and about `1.96² · N · V∞ / margin²` images are.

    Data that already are that precise and still undecided, as a difference near the margin is, are planned for a
    half-width h with `h (1 + 1.645/1.96) <= margin`: then either the interval excludes 0 or the 90% interval lies
    within the margin, wherever the mean falls.

    Args:
        estimate: With at least two seeds per arm. At V = 0 the seeds say nothing; images are planned where values are
            0 and 1.
        margin: In the unit of the estimate, above 0.
        level: Two-sided level of the interval; 0.05 / pairs where Holm's procedure covers several pairs.
    """
    confidence = 1 - level
    normal = float(ndtri((1 + confidence) / 2))
    n_now = min(s.n for s in estimate.seeds)
    target = margin
    if not estimate.variance:  # `agresti_min` at b = c = 0
        return Plan(n_seeds=None, n_images=math.ceil(normal / margin - 2) if estimate.binary else None)
    n_seeds = _seeds(estimate, target, confidence)
    if n_seeds is not None and n_seeds <= n_now >= LEAST_SEEDS:
        target = margin / (1 + float(ndtri(0.95)) / normal)
        n_seeds = _seeds(estimate, target, confidence)
    if n_seeds is not None:
        return Plan(n_seeds=max(LEAST_SEEDS, n_seeds), n_images=None)
    images = math.ceil(normal**2 * estimate.n_images * estimate.images / target**2)
    return Plan(n_seeds=None, n_images=max(images, estimate.n_images + 1))


def _seeds(estimate: Estimate, target: float, confidence: float) -> int | None:
    p = (1 + confidence) / 2
    if estimate.images and quantile(estimate.n_images - 1, p) * math.sqrt(estimate.images) >= target:
        return None

    def is_enough(n: int) -> bool:
        expected = estimate.with_seeds(n)
        return quantile(expected.df, p) * math.sqrt(expected.variance) <= target

    high = 2
    while not is_enough(high):
        high *= 2
        if high > MOST_SEEDS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high
