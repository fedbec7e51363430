"""From rounds to figures: ratios by a t interval over rounds, times by a bootstrap that draws rounds, never calls.

Calls within a round share what the machine did meanwhile; intervals that take them as independent claim a difference
between a model and itself in nine of ten measurements.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvexp.stats import mean_interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

CONFIDENCE = 0.95
DRAWS, BINS = 2000, 1000
"""Resamples of the bootstrap, and the most different values that it distinguishes: 0.1% of the calls each."""

P99_CALLS = 1000
"""With fewer, the 99th percentile is a matter of ten calls."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """A figure with its interval, low and high; both None where one round alone was measured."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Ratio:
    """How many times as long model `a` takes as `b`, both by their index; the intervals of all pairs hold together."""

    a: int
    b: int
    times: Measured

    @property
    def inverse(self) -> Ratio:
        """Of `b` to `a`."""
        low, high = self.times.low, self.times.high
        bounds = (None, None) if low is None or high is None else (1 / high, 1 / low)
        return Ratio(a=self.b, b=self.a, times=Measured(value=1 / self.times.value, low=bounds[0], high=bounds[1]))

    @property
    def certainly_slower(self) -> bool:
        """Whether the whole interval is above 1."""
        return self.times.low is not None and self.times.low > 1


def half_width(values: Floats, confidence: float) -> float:
    """Half the t interval of the mean of float64 (n,); infinite for n = 1."""
    found = mean_interval(values, confidence=confidence)
    return math.inf if found.high is None else found.high - found.mean


def geometric_mean(logs: Floats, confidence: float = CONFIDENCE) -> Measured:
    """The geometric mean with its t interval, from logarithms float64 (n,): over rounds, or over processes."""
    found = mean_interval(logs, confidence=confidence)
    low, high = (None if bound is None else math.exp(bound) for bound in (found.low, found.high))
    return Measured(value=math.exp(found.mean), low=low, high=high)


def pairwise_confidence(n_models: int) -> float:
    """The confidence of each pair's interval with which those of all pairs hold together at 95% (Bonferroni)."""
    return 1 - (1 - CONFIDENCE) / max(1, math.comb(n_models, 2))


def ratios(logs: Floats) -> tuple[Ratio, ...]:
    """Of every two models, from the logarithms of their times in each round or process: float64 (n, models)."""
    confidence = pairwise_confidence(logs.shape[1])
    pairs = itertools.combinations(range(logs.shape[1]), 2)
    return tuple(Ratio(a=a, b=b, times=geometric_mean(logs[:, a] - logs[:, b], confidence)) for a, b in pairs)


def quantiles(rounds: Sequence[Floats], levels: Sequence[float], *, seed: int = 0) -> list[Measured]:
    """Quantiles of the seconds of all calls, with 95% percentile intervals of a bootstrap over rounds.

    Args:
        rounds: The seconds of the calls of each round, float64 (calls,); a round is drawn whole or not at all.
        levels: Each in (0, 1).
        seed: Of the draws.
    """
    calls = np.sort(np.concatenate(rounds))
    grid = np.linspace(0, 1, BINS)
    values = calls if len(calls) <= BINS else np.quantile(calls, grid, method="inverted_cdf")
    of_rounds = np.stack([np.bincount(np.searchsorted(values, one), minlength=len(values)) for one in rounds])
    n_rounds = len(rounds)
    drawn = np.random.default_rng(seed).multinomial(n_rounds, [1 / n_rounds] * n_rounds, size=DRAWS)
    cumulated = (drawn @ of_rounds.astype(np.float64)).cumsum(axis=1)  # (DRAWS, BINS): calls up to each value
    found = []
    for level in levels:
        resampled = values[(cumulated >= level * cumulated[:, -1:]).argmax(axis=1)]
        low, high = np.quantile(resampled, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        value = float(np.quantile(calls, level))
        bounded = (min(value, float(low)), max(value, float(high))) if n_rounds > 1 else (None, None)
        found.append(Measured(value=value, low=bounded[0], high=bounded[1]))
    return found
