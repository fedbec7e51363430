"""The Pareto front of accuracy, times and sizes, where a recipe is off it only by statistical proof."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from cvexp.errors import InputError
from cvexp.stats.measures import ACCURACY, Candidate
from cvexp.stats.objectives import Objective, objective
from cvexp.stats.several import LEVEL, check_names
from cvexp.stats.verdicts import MARGIN

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

TIME_MARGIN = 0.05
"""Times that are at most 5% longer are non-inferior."""

Status = Literal["on", "dominated-in-point-estimate", "off", "unmeasured"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Placement:
    """Where a recipe stands.

    Attributes:
        name: Of the candidate.
        status: `off`: another one is superior on one objective and non-inferior on all others. `unmeasured`: it lacks
            an objective, and is neither placed nor able to push others off.
        dominated_by: The candidate that pushes it off, or that is better in the point estimate; else None.
        missing: Objectives that were not measured.
    """

    name: str
    status: Status
    dominated_by: str | None = None
    missing: tuple[str, ...] = ()


def pareto_front(
    candidates: Sequence[Candidate],
    objectives: Sequence[str] = (ACCURACY, "latency_ms"),
    *,
    accuracy_margin: float = MARGIN,
    time_margin: float = TIME_MARGIN,
    n_classes: int | None = None,
) -> tuple[Placement, ...]:
    """Place every candidate, in the order given.

    One is off only if another is superior on one objective (its advantage is above 0) and non-inferior on all others
    (above -margin; sizes: at least 0), each one-sided at 0.05 / (k - 1), k the number of candidates that have all
    objectives. The tests of one claim need no further correction: all have to pass (intersection-union, Berger 1982).
    Candidates that push one another off in turn, which margins allow, stay on. Accuracy takes three seeds or more for
    a proof; see `cvexp.stats.objectives` for the intervals.

    Args:
        candidates: With different names, all tested on the same images.
        objectives: `accuracy`, or names in `measures`.
        accuracy_margin: As a fraction.
        time_margin: As a fraction of the time.
        n_classes: Given, recipes with a collapsed seed neither push others off nor are pushed off.

    Raises:
        InputError: A name occurs twice, no candidate has an objective, or images differ.
    """
    check_names([c.name for c in candidates])
    measured = [c for c in candidates if not _missing(c, objectives)]
    for name in objectives:
        if name != ACCURACY and not any(name in c.measures for c in candidates):
            raise InputError(f"{name}: no recipe has this figure")
    goals = [
        objective(n, measured, accuracy_margin=accuracy_margin, time_margin=time_margin, n_classes=n_classes)
        for n in (objectives if measured else ())
    ]
    placed = {p.name: p for p in _place([c.name for c in measured], goals)}
    unplaced = (Placement(name=c.name, status="unmeasured", missing=_missing(c, objectives)) for c in candidates)
    return tuple(placed.get(p.name, p) for p in unplaced)


def _missing(candidate: Candidate, objectives: Sequence[str]) -> tuple[str, ...]:
    return tuple(name for name in objectives if name != ACCURACY and name not in candidate.measures)


def _place(names: list[str], goals: list[Objective]) -> list[Placement]:
    if not names:
        return []
    points = np.stack([goal.points for goal in goals], axis=1)
    can_prove = np.logical_and.reduce([goal.has_interval for goal in goals])
    proofs = [_proofs(i, goals, points, can_prove) if can_prove[i] else [] for i in range(len(names))]
    proofs = _without_cycles(proofs)
    ahead = _dominators(points)
    placements = []
    for i, name in enumerate(names):
        if proofs[i]:
            by = min(proofs[i], key=lambda j: (bool(proofs[j]), -points[j, 0]))
            placements.append(Placement(name=name, status="off", dominated_by=names[by]))
        elif ahead[i] is not None:
            placements.append(
                Placement(name=name, status="dominated-in-point-estimate", dominated_by=names[ahead[i] or 0])
            )
        else:
            placements.append(Placement(name=name, status="on"))
    return placements


def _proofs(
    i: int, goals: list[Objective], points: npt.NDArray[np.float64], can_prove: npt.NDArray[np.bool_]
) -> list[int]:
    """Which candidates push i off."""
    margins = np.array([goal.margin for goal in goals])
    advantage = points - points[i]
    possible = np.flatnonzero(can_prove & (advantage >= -margins).all(axis=1) & (advantage > 0).any(axis=1))
    superior = np.zeros(len(possible), dtype=bool)
    for goal in sorted(goals, key=lambda g: hasattr(g, "arms")):  # pairs of records last: they cost most
        if not len(possible):
            return []
        limits = goal.lower(i, possible, LEVEL / (len(points) - 1))
        kept = limits >= -goal.margin
        possible, superior = possible[kept], superior[kept] | (limits[kept] > 0)
    return [int(j) for j in possible[superior]]


def _without_cycles(proofs: list[list[int]]) -> list[list[int]]:
    """The proofs, less those among candidates that push one another off in turn."""
    pushed = {j for found in proofs for j in found}
    if not any(found and i in pushed for i, found in enumerate(proofs)):
        return proofs
    from scipy.sparse import coo_array  # imported for this alone, it takes longer than what is computed
    from scipy.sparse.csgraph import connected_components

    rows = np.repeat(np.arange(len(proofs)), [len(found) for found in proofs])
    columns = np.array([j for found in proofs for j in found], dtype=np.intp)
    edges = coo_array((np.ones(len(rows), dtype=bool), (rows, columns)), shape=(len(proofs), len(proofs)))
    cycle = connected_components(edges, connection="strong")[1].tolist()
    return [[j for j in found if cycle[j] != cycle[i]] for i, found in enumerate(proofs)]


def _dominators(points: npt.NDArray[np.float64]) -> list[int | None]:
    """For each row one that is at least as good everywhere and better somewhere, itself on the observed front."""
    found: list[int | None] = [None] * len(points)
    front: list[int] = []
    for i in np.lexsort(-points.T[::-1]).tolist():  # whoever dominates comes first
        rows = points[front]
        better = np.flatnonzero((rows >= points[i]).all(axis=1) & (rows > points[i]).any(axis=1))
        if len(better):
            found[i] = front[int(better[0])]
        else:
            front.append(i)
    return found
