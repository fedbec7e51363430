"""Place the groups of a table on or off the Pareto front, among those whose figures may be ranked."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cvexp.comparison.figures import Figure, figure_of, find_figure, key_in_words
from cvexp.comparison.groups import seed_of
from cvexp.comparison.request import QUALITIES
from cvexp.comparison.tables import Front, Standing, Status
from cvexp.errors import ConfigError, InputError, nearest
from cvexp.results import Metric, higher_is_better
from cvexp.stats import Candidate, SeedTimes, pareto_front

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.comparison.groups import Group
    from cvexp.stats import Arm, Measure

_STATUSES: dict[str, Status] = {"on": "on", "off": "off", "dominated-in-point-estimate": "undecided"}
_UNITS = ("s", "ms", "images/s", "bytes", "parameters")


def objectives_of(
    groups: Sequence[Group], asked: Sequence[str] | None, known: Sequence[str], *, quality: str
) -> tuple[str, ...]:
    """The metric keys of the objectives: those asked for, else `quality`, and latency where every group has it.

    Without latencies, it is training time. `quality` is the accuracy on test images that the comparison is by.

    Raises:
        ConfigError: An objective is unknown, or none that a front can be of.
    """
    if asked is not None:
        return tuple(dict.fromkeys(_objective(name, known, quality) for name in asked if name.strip()))
    measured = [group for group in groups if group.figure(quality) is not None]
    benched = bool(measured) and all(group.figure(Metric.LATENCY_MS) is not None for group in measured)
    return quality, (Metric.LATENCY_MS if benched else Metric.TRAIN_SECONDS).value


def _objective(name: str, known: Sequence[str], quality: str) -> str:
    figure = find_figure(name, known, what="--front")
    others = {keys["test"]: by for by, keys in QUALITIES.items() if keys["test"] != quality}
    if figure.key in others:
        raise ConfigError(
            f"--front: {name.strip()} is not what this comparison is by", f"add --by {others[figure.key]}"
        )
    if figure.key != quality and figure.unit not in _UNITS:
        valid = ("accuracy", "latency_ms", "train_seconds", "bytes", "parameters")
        raise ConfigError(f"--front: {name.strip()} is no accuracy, time or size", nearest(name, valid))
    return figure.key


def front_of(
    groups: Sequence[Group],
    objectives: tuple[str, ...],
    arms: Mapping[str, Arm],
    *,
    margin: float,
    quality: str,
    n_classes: int | None = None,
) -> Front:
    """Where each group stands; groups measured under different conditions are placed apart.

    A group is off the front only if another is shown to be better; see stats.pareto_front. `quality` is the objective
    that `arms` are about.
    """
    standings: dict[str, Standing] = {}
    apart: dict[tuple[str, ...], list[Candidate]] = {}
    for group in groups:
        why = _unplaced(group, objectives, arms, quality)
        if why:
            standings[group.label] = Standing(status="unplaced", reason=f"{group.label} ({why})")
            continue
        conditions = tuple(group.conditions_of(key) for key in objectives)
        measures = {key: _measure(group, figure_of(key)) for key in objectives if key != quality}
        apart.setdefault(conditions, []).append(Candidate(accuracy=arms[group.label], measures=measures))
    names = tuple("accuracy" if key == quality else key for key in objectives)
    for candidates in apart.values():
        if len(candidates) == 1 and len(groups) > 1:
            name = candidates[0].name
            why = f"{name} (no other was measured under its conditions)"
            standings[name] = Standing(status="unplaced", reason=why if len(apart) > 1 else "")
            continue
        for placed in pareto_front(candidates, names, accuracy_margin=margin, n_classes=n_classes):
            standings[placed.name] = Standing(
                status=_STATUSES.get(placed.status, "unplaced"), dominated_by=placed.dominated_by or ""
            )
    return Front(objectives=objectives, standings=standings)


def _unplaced(group: Group, objectives: Sequence[str], arms: Mapping[str, Arm], quality: str) -> str:
    """Why a group cannot be placed, in words; empty where it can."""
    if group.label not in arms:
        return f"no {key_in_words(quality)}"
    for key in objectives:
        if group.figure(key) is None:
            return f"no {figure_of(key).header}"
        if group.is_busy(key):
            return "measured on a busy machine"
        try:
            _measure(group, figure_of(key))
        except InputError:
            return f"its {figure_of(key).header} is not a number above 0"
    return ""


def _measure(group: Group, figure: Figure) -> Measure:
    """A figure of which less is better: of a throughput, the time for an image."""
    mean = group.mean(figure.key)
    if figure.unit not in ("s", "ms", "images/s"):
        if mean is None or not math.isfinite(mean):
            raise InputError(f"{figure.key}: expected a number")
        return mean
    found = [(run.metrics[figure.key], seed_of(run)) for run in group.pool(figure.key) if figure.key in run.metrics]
    values = [1 / value if higher_is_better(figure.key) and value else value for value, _ in found]
    return SeedTimes(values=values, seeds=[n if seed is None else seed for n, (_, seed) in enumerate(found)])
