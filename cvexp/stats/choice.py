"""Pick one recipe under a budget, and say what speed costs in accuracy."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from cvexp.errors import InputError
from cvexp.stats.interval import mean_interval
from cvexp.stats.measures import ACCURACY, Candidate, SeedTimes, TimeInterval, log_summary
from cvexp.stats.objectives import Accuracies
from cvexp.stats.several import LEVEL, check_names
from cvexp.stats.verdicts import MARGIN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A recipe outside of the budget: the limit of its interval, or None where the figure was not measured."""

    name: str
    objective: str
    limit: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Pick:
    """The recipe to ship.

    Attributes:
        name: None where no recipe meets the budget.
        most_accurate: Of those that meet the budget, as observed.
        price: At most so much less accurate than `most_accurate`, as a fraction, one-sided at 0.05 / (k - 1): 95% over
            all that might have been picked. None where it is `most_accurate` itself.
        speed: The objective by which the fastest was chosen.
        within: Names of the recipes that meet the budget.
        rejected: The others, each with the first limit it breaks.
    """

    name: str | None
    most_accurate: str | None
    price: float | None
    speed: str
    within: tuple[str, ...]
    rejected: tuple[Rejected, ...]


def pick(
    candidates: Sequence[Candidate],
    budget: Mapping[str, float],
    *,
    speed: str = "latency_ms",
    accuracy_margin: float = MARGIN,
    n_classes: int | None = None,
) -> Pick:
    """The fastest recipe within the budget that is non-inferior to the most accurate one within it.

    Of the recipes whose upper limits (95%; the value itself where there is no interval) meet the budget, take the most
    accurate as observed; then the fastest whose accuracy is at most `accuracy_margin` lower, one-sided at
    0.05 / (k - 1), k the number within the budget. Recipes with fewer than three seeds are picked only as the most
    accurate.

    Args:
        candidates: With different names, all tested on the same images.
        budget: Largest value by objective; for `accuracy` the smallest, which its lower limit over seeds has to reach.
        speed: The objective that the fastest has least of, in the point estimate; recipes without it are never faster.
        accuracy_margin: As a fraction.
        n_classes: As in `pareto_front`.

    Raises:
        InputError: A name occurs twice, or no recipe has a figure of the budget.
    """
    check_names([c.name for c in candidates])
    for name in budget:
        if name != ACCURACY and not any(name in c.measures for c in candidates):
            raise InputError(f"{name}: no recipe has this figure")
    broken = {c.name: _broken(c, budget) for c in candidates}
    within = [c for c in candidates if broken[c.name] is None]
    rejected = tuple(found for found in broken.values() if found is not None)
    names = tuple(c.name for c in within)
    if not within:
        return Pick(name=None, most_accurate=None, price=None, speed=speed, within=(), rejected=rejected)
    accuracies = Accuracies([c.accuracy for c in within], accuracy_margin, n_classes)
    best = int(np.argmax(accuracies.points))
    limits = accuracies.lower(best, np.arange(len(within)), LEVEL / max(1, len(within) - 1))
    eligible = [i for i in range(len(within)) if i == best or limits[i] >= -accuracy_margin]
    chosen = min(eligible, key=lambda i: (_point(within[i], speed), i != best, -accuracies.points[i]))
    return Pick(
        name=names[chosen],
        most_accurate=names[best],
        price=None if chosen == best else float(-limits[chosen]),
        speed=speed,
        within=names,
        rejected=rejected,
    )


def _broken(candidate: Candidate, budget: Mapping[str, float]) -> Rejected | None:
    """The first limit that a candidate does not meet."""
    for name, limit in budget.items():
        value = _limit(candidate, name)
        if value is None or (value < limit if name == ACCURACY else value > limit):
            return Rejected(name=candidate.name, objective=name, limit=value)
    return None


def _limit(candidate: Candidate, name: str) -> float | None:
    """Lower limit of the accuracy, upper limit of anything else; the value itself where it has no interval."""
    if name == ACCURACY:
        found = mean_interval(candidate.accuracy.per_seed)
        return found.mean if found.low is None else found.low
    measure = candidate.measures.get(name)
    if isinstance(measure, TimeInterval):
        return measure.high
    if isinstance(measure, SeedTimes):
        mean, variance, df = log_summary(measure)
        return math.exp(mean if math.isnan(variance) else mean + float(stdtrit(df, 0.975)) * math.sqrt(variance))
    return measure


def _point(candidate: Candidate, name: str) -> float:
    measure = candidate.measures.get(name)
    if isinstance(measure, TimeInterval):
        return measure.value
    if isinstance(measure, SeedTimes):
        return math.exp(log_summary(measure)[0])
    return math.inf if measure is None else measure


def pick_text(found: Pick) -> str:
    """One sentence that says why; it ends with the price, such as `costs at most 0.31 points (95%)`."""
    if found.name is None:
        return "no recipe meets the budget"
    n = len(found.within)
    if found.price is None:
        return f"{found.name}: the most accurate of {n} within the budget, and no faster one is shown to be as accurate"
    fastest = f"{found.name}: the fastest of {n} within the budget that is non-inferior in accuracy"
    return f"{fastest} to {found.most_accurate}; costs at most {100 * found.price:.2f} points (95%)"
