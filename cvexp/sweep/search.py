"""What a sweep tries next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.sweep import study
from cvexp.sweep.points import grid_point, random_point

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cvexp.config.sweep import Point, Sweep
    from cvexp.sweep.trials import Tried

MOST_REPEATS = 20
"""Proposals of TPE in a row that were tried already; then a random point is taken."""

MOST_DRAWS = 10_000
"""Random points in a row that were tried already; then there are no others."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A point that was not tried yet, the number of its draw, and its key; see `Tried`."""

    number: int
    key: str
    point: Point


class Search:
    """Proposes points, each training once.

    Args:
        sweep: What is searched, and how.
        key_of: The key of a point, or None for one whose values do not go together, which is left out.
    """

    def __init__(self, sweep: Sweep, key_of: Callable[[Point], str | None]) -> None:
        self._sweep, self._key_of = sweep, key_of
        self._drawn = 0  # points of a fixed order before this one are known

    def next(self, tried: Mapping[str, Tried]) -> Proposal | None:
        """The next point, given the trials by key, of earlier starts too; None where all points were tried."""
        if self._sweep.search == "tpe":
            found = self._from_tpe(tried)
            if found is not None:
                return found
        return self._from_order(tried)

    def _from_order(self, tried: Mapping[str, Tried]) -> Proposal | None:
        """The first point of the grid, or of the random order, that was not tried."""
        space, seed = self._sweep.space, self._sweep.seed
        for number in range(self._drawn, self._drawn + MOST_DRAWS):
            is_grid = self._sweep.search == "grid"
            point = grid_point(space, number) if is_grid else random_point(space, number, seed=seed)
            if point is None:
                return None
            self._drawn = number
            key = self._key_of(point)
            if key is not None and key not in tried:
                own = number if self._sweep.search != "tpe" else _next_number(tried)
                return Proposal(number=own, key=key, point=point)
        return None

    def _from_tpe(self, tried: Mapping[str, Tried]) -> Proposal | None:
        first, trials = _next_number(tried), sorted(tried.values(), key=lambda one: one.number)
        sweep = self._sweep
        for number in range(first, first + MOST_REPEATS):
            point = study.tpe_point(sweep.space, number, seed=sweep.seed, goals=sweep.goals, trials=trials)
            key = self._key_of(point)
            if key is not None and key not in tried:
                return Proposal(number=number, key=key, point=point)
        return None


def _next_number(tried: Mapping[str, Tried]) -> int:
    return 1 + max((one.number for one in tried.values()), default=-1)
