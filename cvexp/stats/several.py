"""Several recipes at once: Holm's procedure over all pairs, and the set that may hold the best one."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING

import numpy as np

from cvexp.errors import InputError
from cvexp.stats.arms import Arm, arm_estimate
from cvexp.stats.judge import arms_verdict, count_collapsed
from cvexp.stats.planning import LEAST_SEEDS
from cvexp.stats.verdicts import MARGIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from cvexp.stats.verdicts import Verdict

LEVEL = 0.05


@dataclass(frozen=True, kw_only=True, slots=True)
class PairVerdict:
    """The verdict on recipe a against recipe b, by their names."""

    a: str
    b: str
    verdict: Verdict


@dataclass(frozen=True, kw_only=True, slots=True)
class Contenders:
    """Recipes that may be the most accurate one.

    Attributes:
        names: Those that were not dropped, in the order given.
        best: The most accurate one as observed, of those with at least 3 seeds; None where there is none.
        dropped: For each dropped recipe, by how much the best one beats it: the lower limit, one-sided at
            0.05 / (k - 1), above 0.
    """

    names: tuple[str, ...]
    best: str | None
    dropped: dict[str, float]


def holm(p_values: Sequence[float] | npt.NDArray[np.float64]) -> tuple[float, ...]:
    """Adjusted p-values in the order given: at most 0.05 is significant with at most 5% chance of any false one.

    Source: Holm 1979, Scand. J. Statist. 6:65.

    Args:
        p_values: Floats in [0, 1].

    Raises:
        InputError: A value outside of [0, 1], NaN included.
    """
    p = np.asarray(p_values, dtype=np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise InputError("p_values: expected numbers in [0, 1]")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return tuple(adjusted.tolist())


def pairwise_verdicts(
    arms: Sequence[Arm], *, margin: float = MARGIN, n_classes: int | None = None
) -> tuple[PairVerdict, ...]:
    """A verdict for every pair, in the order of the arms; `better` and `worse` have passed Holm's procedure.

    The procedure covers the pairs that can be judged as recipes: three seeds or more in both arms, none collapsed. The
    intervals of the differences are those of single pairs.

    Args:
        arms: At least two, with different names, all on the same test images.
        margin: As in `verdict`.
        n_classes: As in `verdict`.
    """
    check_names([arm.name for arm in arms])
    alone = {(a, b): arms_verdict(a, b, margin=margin, n_classes=n_classes) for a, b in combinations(arms, 2)}
    family = [
        (pair, v.p_value)
        for pair, v in alone.items()
        if min(v.n_seeds) >= LEAST_SEEDS and v.difference.low is not None and v.p_value is not None
    ]
    for (pair, _), p in zip(family, holm([p for _, p in family]), strict=True):
        v = alone[pair]
        if v.kind == "tied" or (v.kind != "cannot-tell" and p <= LEVEL):
            alone[pair] = replace(v, p_adjusted=p, n_pairs=len(family))
        else:  # no longer a difference, or planned for more pairs
            alone[pair] = arms_verdict(*pair, margin=margin, n_classes=n_classes, p_adjusted=p, n_pairs=len(family))
    return tuple(PairVerdict(a=a.name, b=b.name, verdict=v) for (a, b), v in alone.items())


def contenders(arms: Sequence[Arm], *, n_classes: int | None = None) -> Contenders:
    """The recipes that may be the most accurate: one is dropped only if the observed best beats it.

    One-sided at 0.05 / (k - 1), so that the truly best of k recipes is lost in at most 5% of comparisons (Bonferroni
    over its k - 1 comparisons; multiple comparisons with the best, Hsu 1981, Ann. Statist. 9:1026). Recipes with fewer
    than three seeds or a collapsed one are never dropped.

    Args:
        arms: k >= 1, with different names, all on the same test images.
        n_classes: As in `verdict`.
    """
    check_names([arm.name for arm in arms])
    judged = [a for a in arms if a.n_seeds >= LEAST_SEEDS and not (n_classes and count_collapsed(a, n_classes))]
    best = max(judged, key=lambda arm: arm.mean, default=None)
    dropped: dict[str, float] = {}
    for arm in judged:
        found = arm_estimate(best, arm) if best is not None and arm is not best else None
        if found is not None and (found.n_images or found.variance):
            low, _ = found.limits(1 - 2 * LEVEL / (len(arms) - 1))
            dropped |= {arm.name: low} if low > 0 else {}
    names = tuple(arm.name for arm in arms if arm.name not in dropped)
    return Contenders(names=names, best=None if best is None else best.name, dropped=dropped)


def check_names(names: Sequence[str]) -> None:
    """Refuse names that do not tell recipes apart.

    Raises:
        InputError: A name occurs twice.
    """
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"expected a different name for every recipe, got {twice!r} twice")
