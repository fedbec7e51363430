"""A recipe that may be shipped: its repeats, and what was measured of its times and sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from cvexp.errors import InputError
from cvexp.stats.inputs import check_seeds

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.stats.arms import Arm


@dataclass(frozen=True, kw_only=True, slots=True)
class TimeInterval:
    """A time with a 95% interval, such as latency over the rounds of a benchmark. Independent of other recipes' times.

    Attributes:
        value: Above 0, in any unit that all recipes share.
        low: Lower limit, above 0.
        high: Upper limit.
        n: Rounds or calls that the interval was computed from; None for a normal interval.
    """

    value: float
    low: float
    high: float
    n: int | None = None

    def __post_init__(self) -> None:
        if not 0 < self.low <= self.value <= self.high < math.inf:
            raise InputError(f"expected 0 < low <= value <= high, got {self.low}, {self.value}, {self.high}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedTimes:
    """A time per seed, such as training seconds; recipes with the same set of seeds are compared seed by seed.

    Attributes:
        values: (n,) above 0, in any unit that all recipes share; leave out runs whose times may not be ranked.
        seeds: One per value, each once.
    """

    values: Sequence[float]
    seeds: Sequence[int]

    def __post_init__(self) -> None:
        check_seeds(self.seeds, len(self.values), "seeds of times")
        if not self.values or not all(0 < v < math.inf for v in self.values):
            raise InputError("expected a time above 0 for every seed")


Measure = TimeInterval | SeedTimes | float
"""Of which less is better; a float is exact, such as a number of parameters or bytes."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A recipe that may be shipped.

    Attributes:
        accuracy: Its repeats; the arm's name is the candidate's.
        measures: By name of the objective, such as `latency_ms` and `bytes`; what was not measured is left out.
    """

    accuracy: Arm
    measures: Mapping[str, Measure] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the arm."""
        return self.accuracy.name


ACCURACY = "accuracy"


def log_summary(measure: TimeInterval | SeedTimes) -> tuple[float, float, float]:
    """Mean of the log, variance of that mean (NaN for one value), degrees of freedom."""
    if isinstance(measure, TimeInterval):
        df = 1e9 if measure.n is None else max(1, measure.n - 1)
        half = (math.log(measure.high) - math.log(measure.low)) / 2
        return math.log(measure.value), (half / float(stdtrit(df, 0.975))) ** 2, df
    logs = np.log(measure.values)
    n = len(logs)
    return float(logs.mean()), float(logs.var(ddof=1)) / n if n > 1 else math.nan, max(1, n - 1)
