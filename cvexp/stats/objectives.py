"""Objectives of the trade-off: accuracy, times and sizes, each with a lower limit of one recipe's advantage.

It is positive where a recipe is better than another: a difference of accuracies, negative log times, negative sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy.special import ndtri, stdtrit

from cvexp.errors import InputError
from cvexp.stats.arms import arm_estimate
from cvexp.stats.judge import count_collapsed
from cvexp.stats.measures import ACCURACY, SeedTimes, TimeInterval, log_summary
from cvexp.stats.planning import LEAST_SEEDS

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from cvexp.stats.arms import Arm
    from cvexp.stats.measures import Candidate


class Objective(Protocol):
    """One objective over k candidates.

    Attributes:
        points: Float (k,): observed values, more is better; differences of them are advantages.
        margin: An advantage of at least -margin is non-inferior.
        has_interval: Bool (k,): the others have no limits, and prove nothing.
    """

    @property
    def points(self) -> npt.NDArray[np.float64]: ...  # noqa: D102 - see the class

    @property
    def margin(self) -> float: ...  # noqa: D102 - see the class

    @property
    def has_interval(self) -> npt.NDArray[np.bool_]: ...  # noqa: D102 - see the class

    def lower(self, i: int, others: npt.NDArray[np.intp], level: float) -> npt.NDArray[np.float64]:
        """Lower limits, one-sided at `level`, of the advantage of `others` over i; -inf where there is no interval."""
        ...


@dataclass(frozen=True)
class Sizes:
    """Exact numbers."""

    points: npt.NDArray[np.float64]
    margin: float = 0.0

    @property
    def has_interval(self) -> npt.NDArray[np.bool_]:
        """All: exact."""
        return np.ones(len(self.points), dtype=bool)

    def lower(self, i: int, others: npt.NDArray[np.intp], level: float) -> npt.NDArray[np.float64]:  # noqa: ARG002 - exact
        """The advantages themselves."""
        advantages: npt.NDArray[np.float64] = self.points[others] - self.points[i]
        return advantages


@dataclass(frozen=True)
class Means:
    """Independent means with variances: Welch's interval.

    Attributes:
        variance: Float (k,): of each mean; NaN where it is unknown.
        df: Float (k,).
    """

    points: npt.NDArray[np.float64]
    variance: npt.NDArray[np.float64]
    df: npt.NDArray[np.float64]
    margin: float

    def lower(self, i: int, others: npt.NDArray[np.intp], level: float) -> npt.NDArray[np.float64]:
        """Welch's limits (Welch 1947); where even the normal quantile leaves a limit below -margin, that limit."""
        mine, theirs = self.variance[i], self.variance[others]
        both = mine + theirs
        with np.errstate(divide="ignore", invalid="ignore"):
            df = both**2 / (mine**2 / self.df[i] + theirs**2 / self.df[others])
        advantage = self.points[others] - self.points[i]
        limits = advantage + float(ndtri(level)) * np.sqrt(both)
        close = (limits >= -self.margin) & np.isfinite(df)
        limits[close] = advantage[close] + stdtrit(df[close], level) * np.sqrt(both[close])
        return np.where(np.isnan(both), -np.inf, limits)


@dataclass(frozen=True)
class Times:
    """Times on the log scale: paired by seed where both have the same seeds, else `Means`."""

    measures: Sequence[TimeInterval | SeedTimes]
    margin: float

    @cached_property
    def points(self) -> npt.NDArray[np.float64]:
        """Negative logs."""
        return self.means.points

    @cached_property
    def means(self) -> Means:
        """The same as independent means."""
        summaries = np.array([log_summary(m) for m in self.measures]).T
        return Means(points=-summaries[0], variance=summaries[1], df=summaries[2], margin=self.margin)

    @property
    def has_interval(self) -> npt.NDArray[np.bool_]:
        """Those whose variance is known."""
        return ~np.isnan(self.means.variance)

    @cached_property
    def by_seed(self) -> dict[tuple[int, ...], npt.NDArray[np.float64]]:
        """For each set of at least two seeds, negative logs, float64 (k, n); NaN for the recipes with other seeds."""
        table: dict[tuple[int, ...], npt.NDArray[np.float64]] = {}
        for row, measure in enumerate(self.measures):
            seeds = tuple(sorted(measure.seeds)) if isinstance(measure, SeedTimes) else ()
            if isinstance(measure, SeedTimes) and len(seeds) > 1:
                values = table.setdefault(seeds, np.full((len(self.measures), len(seeds)), np.nan))
                values[row] = -np.log(np.asarray(measure.values, dtype=np.float64)[np.argsort(measure.seeds)])
        return table

    def lower(self, i: int, others: npt.NDArray[np.intp], level: float) -> npt.NDArray[np.float64]:
        """A t interval on log ratios of the same seeds, or Welch's."""
        limits = self.means.lower(i, others, level)
        for values in self.by_seed.values():
            ratios = values[others] - values[i]
            n, paired = ratios.shape[1], ~np.isnan(ratios[:, 0])
            if paired.any():
                half = float(stdtrit(n - 1, level)) * ratios[paired].std(axis=1, ddof=1) / math.sqrt(n)
                limits[paired] = ratios[paired].mean(axis=1) + half
        return limits


@dataclass(frozen=True)
class Accuracies:
    """Accuracies of arms: `arm_estimate` of each pair where there are records of the images, else Welch's.

    There is no interval for an arm with fewer than three seeds or, given the number of classes, a collapsed seed.
    """

    arms: Sequence[Arm]
    margin: float
    n_classes: int | None
    limits: dict[tuple[int, int, float], float] = field(default_factory=dict)

    @cached_property
    def points(self) -> npt.NDArray[np.float64]:
        """Mean accuracies."""
        return np.array([arm.mean for arm in self.arms])

    @cached_property
    def means(self) -> Means:
        """The same as independent means over seeds; the variance is unknown where there is no verdict about recipes."""
        k = len(self.arms)
        variance, df = np.full(k, np.nan), np.ones(k)
        for i, arm in enumerate(self.arms):
            if arm.n_seeds >= LEAST_SEEDS and not (self.n_classes and count_collapsed(arm, self.n_classes)):
                variance[i], df[i] = arm.per_seed.var(ddof=1) / arm.n_seeds, arm.n_seeds - 1
        return Means(points=self.points, variance=variance, df=df, margin=self.margin)

    @property
    def has_interval(self) -> npt.NDArray[np.bool_]:
        """Those whose variance is known."""
        return ~np.isnan(self.means.variance)

    def lower(self, i: int, others: npt.NDArray[np.intp], level: float) -> npt.NDArray[np.float64]:
        """See the class."""
        means = self.means
        limits = means.lower(i, others, level)
        limits[means.variance[i] + means.variance[others] == 0] = -np.inf  # equal accuracies per seed show no variance
        if self.arms[i].correct is None or math.isnan(means.variance[i]):
            return limits
        for k, other in enumerate(others.tolist()):
            if self.arms[other].correct is not None and not math.isnan(means.variance[other]):
                limits[k] = self._recorded(i, other, level)
        return limits

    def _recorded(self, i: int, other: int, level: float) -> float:
        if (i, other, level) not in self.limits:
            found = arm_estimate(self.arms[other], self.arms[i])
            low, high = (-math.inf, math.inf) if found is None else found.limits(1 - 2 * level)
            self.limits[i, other, level], self.limits[other, i, level] = low, -high
        return self.limits[i, other, level]


def objective(
    name: str, candidates: Sequence[Candidate], *, accuracy_margin: float, time_margin: float, n_classes: int | None
) -> Objective:
    """The objective of that name over candidates that all have it.

    Raises:
        InputError: Some give it as a time and others as an exact number.
    """
    if name == ACCURACY:
        return Accuracies([c.accuracy for c in candidates], accuracy_margin, n_classes)
    measures = [c.measures[name] for c in candidates]
    times = [m for m in measures if isinstance(m, TimeInterval | SeedTimes)]
    if not times:
        return Sizes(-np.array(measures, dtype=np.float64))
    if len(times) < len(measures):
        raise InputError(f"{name}: expected times with intervals for every recipe, or an exact number for every one")
    return Times(times, math.log1p(time_margin))
