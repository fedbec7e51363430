"""Trials as a search sees them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from cvexp.config.goals import Goal
    from cvexp.config.sweep import Point

State = Literal["finished", "pruned", "failed", "waiting"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Tried:
    """A point that was tried, or is being tried.

    Attributes:
        number: From 0 on, in the order of the draws; draws that came to a known point leave gaps.
        key: Of the recipe and the seed: equal for points that are one training.
        state: `waiting` until the trial has ended; `failed` ones have no figures.
        values: Of each goal after the last epoch; empty where there are none.
        epochs: That were trained.
    """

    number: int
    key: str
    point: Point
    state: State
    values: tuple[float, ...] = ()
    epochs: int = 0


def best_first(trials: Iterable[Tried], goal: Goal) -> list[Tried]:
    """The finished trials by the first goal, the best first; those that were pruned are not among them."""

    def position(one: Tried) -> tuple[bool, float, int]:
        value = one.values[0]
        return math.isnan(value), -value if goal.maximize else value, one.number

    return sorted((one for one in trials if one.state == "finished" and one.values), key=position)


def front(trials: Iterable[Tried], goals: Sequence[Goal]) -> list[Tried]:
    """The finished trials that no other one is as good as on all goals and better on one, best by the first goal."""
    signs = [-1.0 if goal.maximize else 1.0 for goal in goals]
    ordered = best_first(trials, goals[0])
    losses = [[sign * value for sign, value in zip(signs, one.values, strict=True)] for one in ordered]

    def is_beaten(mine: Sequence[float]) -> bool:
        return any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and list(other) != list(mine) for other in losses
        )

    return [one for one, mine in zip(ordered, losses, strict=True) if not is_beaten(mine)]
