"""The difference of two recipes with an interval over seeds and images: two-way random effects, paired or nested.

`D[s, i] = A[s, i] - B[s, i]` for seed s of n and image i of N, both drawn from populations: another seed retrains the
model, another image is new data. Radiology's multi-reader multi-case analysis: seeds are readers, images are cases.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import ndtri, stdtr, stdtrit

from cvexp.stats.inputs import check_images, correctness, matching_rows, scores
from cvexp.stats.two_runs import agresti_min, mcnemar_midp

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """The mean of `a - b` over seeds and images with its 95% interval.

    Attributes:
        mean: In the unit of the values; 0.01 is one point of accuracy.
        low: Lower limit; None when the data hold no interval about recipes: one seed in an arm, or one image.
        high: Upper limit; None together with `low`.
        df: Degrees of freedom of Student's t; infinite for a normal quantile; None together with `low`.
        paired: Whether both arms have the same seeds and seed s of one is compared with seed s of the other.
        n_seeds: Seeds in each arm; of the smaller arm where they differ.
        n_images: Images; 0 when only accuracies per seed were known.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    df: float | None = None
    paired: bool
    n_seeds: int
    n_images: int


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedVariance:
    """What retraining adds to the variance of a mean.

    Attributes:
        variance: S², the variance of the means per seed, at least `residual / N`: no less than images alone explain.
        residual: R, the residual mean square of the table seeds x images.
        n: Seeds.
    """

    variance: float
    residual: float
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A mean difference and its components of variance, from which intervals of any level and plans follow.

    Attributes:
        mean: Of `a - b`.
        seeds: One component for paired arms, one per arm for nested ones.
        image_variance: s², the variance over images of the mean difference per image.
        n_images: N; 0 when only accuracies per seed are known, so that the images add nothing to the variance.
        binary: Whether the values are 0 and 1, weighted perhaps, which decides what happens at V = 0: see `limits`.
        n_equal: How many images of equal weight say as much as the weighted ones, (sum of w)² / (sum of w²) rounded
            down (Kish 1965, Survey Sampling); 0 where they count the same.
    """

    mean: float
    seeds: tuple[SeedVariance, ...]
    image_variance: float
    n_images: int
    binary: bool
    n_equal: int = 0

    @property
    def images(self) -> float:
        """Variance that more seeds do not remove: V∞ = (s² - the sum of R/n) / N, at least 0."""
        if not self.n_images:
            return 0.0
        return max(0.0, self.image_variance - sum(s.residual / s.n for s in self.seeds)) / self.n_images

    @property
    def variance(self) -> float:
        """V = S²/n + s²/N - R/(nN), summed over the arms when nested; at least s²/N."""
        if not self.n_images:
            return sum(s.variance / s.n for s in self.seeds)
        residual = sum(s.residual / s.n for s in self.seeds)
        seeds = sum(s.variance / s.n for s in self.seeds)
        return max(seeds + (self.image_variance - residual) / self.n_images, self.image_variance / self.n_images)

    @property
    def df(self) -> float:
        """Degrees of freedom after Satterthwaite (1946): V² / (sum of (S²/n)²/(n-1) + (s²/N)²/(N-1)); inf at V = 0."""
        below = sum((s.variance / s.n) ** 2 / (s.n - 1) for s in self.seeds)
        if self.n_images > 1:
            below += (self.image_variance / self.n_images) ** 2 / (self.n_images - 1)
        return self.variance**2 / below if below else math.inf

    def limits(self, confidence: float = 0.95) -> tuple[float, float]:
        """Two-sided: mean ± t · sqrt(V); `agresti_min`'s, each image counted once, where V = 0 and D is binary."""
        if self.binary and not self.variance:
            return agresti_min(*self._discordant(), self.n_equal or self.n_images, confidence=confidence)
        half = quantile(self.df, (1 + confidence) / 2) * math.sqrt(self.variance)
        return self.mean - half, self.mean + half

    def p_value(self) -> float:
        """Two-sided, of no difference; `mcnemar_midp`'s, each image counted once, where V = 0 and D is binary."""
        if not self.variance:
            return mcnemar_midp(*self._discordant()) if self.binary else float(not self.mean)
        t = abs(self.mean) / math.sqrt(self.variance)
        return 2 * float(stdtr(self.df, -t))

    def with_seeds(self, n: int) -> Estimate:
        """What to expect of n seeds per arm: the same components of variance."""
        seeds = tuple(replace(s, n=n) for s in self.seeds)
        images = self.images * self.n_images + sum(s.residual / n for s in seeds)
        return replace(self, seeds=seeds, image_variance=images)

    def difference(self) -> Difference:
        """The mean with its 95% interval; one component of seeds means paired arms."""
        low, high = self.limits()
        return Difference(
            mean=self.mean,
            low=low,
            high=high,
            df=self.df,
            paired=len(self.seeds) == 1,
            n_seeds=min(s.n for s in self.seeds),
            n_images=self.n_images,
        )

    def _discordant(self) -> tuple[int, int]:
        """Images that only a, and that only b classifies correctly, where all seeds agree."""
        n = self.n_equal or self.n_images
        return round(max(0.0, self.mean) * n), round(max(0.0, -self.mean) * n)


def quantile(df: float, p: float) -> float:
    """Student's t quantile; the normal one at infinite df."""
    return float(ndtri(p) if math.isinf(df) else stdtrit(df, p))


def accuracy_difference(
    a: npt.ArrayLike, b: npt.ArrayLike, *, seeds_a: Sequence[int] | None = None, seeds_b: Sequence[int] | None = None
) -> Difference:
    """Accuracy of recipe a less that of recipe b, with a 95% interval for retrained models and new images.

    `V = max(S², R/N)/n + s²/N - R/(nN)`, at least s²/N, and `mean ± t(0.975, df) sqrt(V)`: see `Estimate`. S² is the
    variance of the seed means of D, s² that of its image means, R the residual mean square. Arms that are not paired
    have an S² and R each (nested form). The lists of seeds alone decide which form holds: the same set of seeds is
    aligned and paired, anything else, partial overlap included, is nested; without lists, arms with equally many rows
    are paired by position.

    Where all seeds and images give one and the same difference (V = 0) the formula has no width, and the interval is
    `agresti_min`'s, with each image counted once.

    Source: Obuchowski & Rockette 1995, Commun. Stat. Simul. 24:285; degrees of freedom: Hillis 2007, Stat. Med. 26:596.

    Args:
        a: Bool (n, N): whether seed s classifies image i correctly; n, N >= 1.
        b: Bool (m, N): the same images in the same order.
        seeds_a: One seed per row of `a`, each once.
        seeds_b: One seed per row of `b`, each once.

    Raises:
        InputError: Shapes, seeds or values that do not fit; see `cvexp.stats.inputs`.
    """
    x, y = correctness(a, "a"), correctness(b, "b")
    check_images(x, y)
    rows = matching_rows(len(x), len(y), seeds_a, seeds_b)
    return difference(x, y, rows)


def score_difference(
    a: npt.ArrayLike, b: npt.ArrayLike, *, seeds_a: Sequence[int] | None = None, seeds_b: Sequence[int] | None = None
) -> Difference:
    """The same for a score per image of which less is better, such as log-loss (nats) or Brier score.

    A negative difference favours a. At V = 0 both limits equal the mean: a score has no cell to add half an image to.

    Args:
        a: Float (n, N), finite: score of image i under seed s.
        b: Float (m, N): the same images in the same order.
        seeds_a: As in `accuracy_difference`.
        seeds_b: As in `accuracy_difference`.
    """
    x, y = scores(a, "a"), scores(b, "b")
    check_images(x, y)
    rows = matching_rows(len(x), len(y), seeds_a, seeds_b)
    return difference(x, y, rows)


def difference(a: npt.NDArray[Any], b: npt.NDArray[Any], rows: npt.NDArray[np.intp] | None) -> Difference:
    """The `Difference` of checked arms; `rows` as for `estimate`."""
    if min(len(a), len(b), a.shape[1]) > 1:
        return estimate(a, b, rows).difference()
    mean, n_seeds = float(a.mean() - b.mean()), min(len(a), len(b))
    return Difference(mean=mean, paired=rows is not None, n_seeds=n_seeds, n_images=a.shape[1])


def estimate(a: npt.NDArray[Any], b: npt.NDArray[Any], rows: npt.NDArray[np.intp] | None) -> Estimate:
    """The components of variance of two arms with at least two seeds and two images each.

    Args:
        a: Bool or float (n, N).
        b: Bool or float (m, N).
        rows: For every row of a the row of b with the same seed, or None for the nested form.
    """
    seeds: tuple[SeedVariance, ...]
    if rows is None:
        (first, of_a), (second, of_b) = table(a), table(b)
        seeds, per_image = (first, second), of_a - of_b
    else:
        one, per_image = table(a.astype(np.float64) - b[rows])
        seeds = (one,)
    return Estimate(
        mean=float(per_image.mean()),
        seeds=seeds,
        image_variance=float(per_image.var(ddof=1)),
        n_images=a.shape[1],
        binary=a.dtype == np.bool_,
    )


def table(d: npt.NDArray[Any]) -> tuple[SeedVariance, npt.NDArray[np.float64]]:
    """The seeds' component of variance of a table seeds x images, and its mean per image, float64 (N,)."""
    n, n_images = d.shape
    per_seed = d.mean(axis=1, dtype=np.float64)
    per_image = d.mean(axis=0, dtype=np.float64)
    mean = float(per_seed.mean())
    squares = sum(float(np.square(row - per_image - (m - mean)).sum()) for row, m in zip(d, per_seed, strict=True))
    residual = squares / ((n - 1) * (n_images - 1))
    variance = max(float(per_seed.var(ddof=1)), residual / n_images)
    return SeedVariance(variance=variance, residual=residual, n=n), per_image
