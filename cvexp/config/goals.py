"""What a sweep is for: one figure, or accuracy and a cost at once."""

from dataclasses import dataclass
from typing import Any

from cvexp.config.keys import keyed
from cvexp.errors import ConfigError, nearest
from cvexp.text import shown

GOALS = {
    "val/accuracy": "maximize",
    "val/balanced_accuracy": "maximize",
    "val/macro_f1": "maximize",
    "val/loss": "minimize",
    "parameters": "minimize",
    "macs": "minimize",
}
"""What a sweep may be for, and in which direction."""

COSTS = ("parameters", "macs")
"""Goals that follow from the model alone, and that stand beside val/accuracy."""

_GOAL = "for example: goal: {maximize: val/accuracy}, or {maximize: val/accuracy, minimize: parameters}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Goal:
    """One figure, and whether more of it is better; see `GOALS`."""

    figure: str
    maximize: bool


def read_goals(value: Any, where: str) -> tuple[Goal, ...]:
    """Read a sweep's `goal:`, one figure or val/accuracy and a cost; ConfigError where it names others."""
    asked = keyed(value, ("maximize", "minimize"), where)
    if not asked:
        raise ConfigError(f"{where}: it names no figure", _GOAL)
    for direction, figure in asked.items():
        if not isinstance(figure, str) or figure not in GOALS:
            raise ConfigError(f"{where}: no sweep is for {shown(figure)}", nearest(str(figure)[:80], GOALS))
        if direction != GOALS[figure]:
            raise ConfigError(f"{where}: {figure} is not to be {direction[:-1]}ed", f"write {GOALS[figure]}: {figure}")
    figures = sorted(asked.values(), key=[*GOALS].index)
    if len(figures) == 1 and figures[0] in COSTS:
        raise ConfigError(f"{where}: {figures[0]} alone needs no training", _GOAL)
    if len(figures) > 1 and not (figures[0] == "val/accuracy" and figures[1] in COSTS):
        raise ConfigError(f"{where}: two goals are val/accuracy and one of {', '.join(COSTS)}", _GOAL)
    return tuple(Goal(figure=figure, maximize=GOALS[figure] == "maximize") for figure in figures)
