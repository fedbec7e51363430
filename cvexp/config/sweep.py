"""`sweep:` in an experiment file: what is searched, how, for which goal, how long, and how the best are confirmed."""

import hashlib
import itertools
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

from cvexp.config.goals import Goal, read_goals
from cvexp.config.keys import keyed
from cvexp.config.loop import MAX_SEED
from cvexp.config.option import MAX_COUNT, as_typed, settings_of
from cvexp.config.run import RunConfig, run_config
from cvexp.config.seeds import seeds_of
from cvexp.config.space import Axis, Choices, Range, read_space, space_size
from cvexp.errors import ConfigError, nearest
from cvexp.text import shown

SearchName = Literal["grid", "random", "tpe"]
Point = Mapping[str, Any]
"""A value for each setting of a space."""

MAX_TRIALS = 10_000
MOST_CONFIRMED = 50
DIGITS = 12  # hexadecimal, of a sweep's digest
KEYS = ("search", "runs", "minutes", "seed", "goal", "space", "prune", "confirm")
_SMALLEST_SHARE = Fraction(1, 100)
_SHARE = re.compile(r"[0-9]{0,3}\.?[0-9]{0,18}|[0-9]{1,4}/[0-9]{1,4}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Pruning:
    """Successive halving: after `min_epochs`, and 1 / `keep` times as many each time, the best share `keep` goes on."""

    min_epochs: int
    keep: Fraction

    def rungs(self, n_epochs: int) -> tuple[int, ...]:
        """The epochs after which it is decided whether a trial of `n_epochs` goes on, ascending."""
        powers = itertools.takewhile(
            lambda rung: rung < n_epochs, (self.min_epochs / self.keep**k for k in itertools.count())
        )
        return tuple(dict.fromkeys(rung for power in powers if (rung := math.ceil(power)) < n_epochs))


@dataclass(frozen=True, kw_only=True, slots=True)
class Confirmation:
    """How many of the best points are trained again, and with which seeds: none of them is the search's."""

    best: int
    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Sweep:
    """What a file's `sweep:` asks for.

    Attributes:
        seed: Of the search; the trials have the seed of `fixed`.
        goals: One, or val/accuracy and a cost.
        space: By setting, in the file's order.
        fixed: The settings that all trials share, as the file has them.
        runs: The most trials, pruned ones included; None without a limit.
        minutes: Once trials ran for so long, no further one begins; None without a limit.
    """

    search: SearchName
    seed: int
    goals: tuple[Goal, ...]
    space: Mapping[str, Axis]
    fixed: Mapping[str, Any]
    runs: int | None
    minutes: float | None
    prune: Pruning | None
    confirm: Confirmation | None

    @property
    def goal(self) -> Goal:
        """The first goal, by which trials are ranked."""
        return self.goals[0]

    @property
    def size(self) -> int | None:
        """How many points the space has; None where it is continuous."""
        return space_size(self.space)

    def config(self, point: Point) -> RunConfig:
        """The configuration of a point; ConfigError where its values do not go together."""
        return run_config({**self.fixed, **point})

    def point_of(self, params: Mapping[str, str]) -> Point | None:
        """The point that a run's parameters are of, or None: a store's content is untrusted."""
        point = {}
        for name, axis in self.space.items():
            value = _value_of(axis, params.get(name, ""), name, params)
            if value is None:
                return None
            (point[name],) = value
        return point

    @property
    def digest(self) -> str:
        """Equal for sweeps whose trials belong together: those that differ in their budget or confirmation alone."""
        identity = {
            "search": self.search,
            "seed": self.seed,
            "goals": [goal.figure for goal in self.goals],
            "space": {name: self.space[name].plain() for name in sorted(self.space)},
            "fixed": {name: as_typed(value) for name, value in self.fixed.items()},
            "prune": None if self.prune is None else [self.prune.min_epochs, str(self.prune.keep)],
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:DIGITS]


def _value_of(axis: Axis, text: str, name: str, params: Mapping[str, str]) -> tuple[Any] | None:
    """The value of an axis that a parameter's text is, in a tuple; None for none."""
    if isinstance(axis, Range):
        try:
            number = float(text)
        except ValueError:
            return None
        return (axis.rounded(number),) if axis.low <= number <= axis.high else None
    setting = settings_of(RunConfig)[name]
    for option in sorted(axis.options, key=lambda one: -len(one) if isinstance(one, Mapping) else 0):
        if isinstance(option, Mapping):  # the one that says the most, since a run has all of its model's arguments
            if all(params.get(f"{name}.{key}") == as_typed(value) for key, value in option.items()):
                return (option,)
        elif as_typed(setting.default_with(params) if option is None else option) == text:
            return (option,)
    return None


def read_sweep(value: Any, settings: Mapping[str, Any], where: str) -> Sweep:
    """Read a file's `sweep:`; `settings` are those that all of its trials share.

    Every end of a range and every value of a list is validated as a run's setting, alone and with those of each other
    setting of the space.

    Raises:
        ConfigError: A key or value is wrong, values do not go together, or there is no validation part to choose by.
    """
    asked = {key: one for key, one in keyed(value, KEYS, where).items() if one is not None}
    space = read_space(asked.get("space", {}), f"{where}: space")
    for name in space:
        if name in settings:
            raise ConfigError(f"{where}: space: `{name}` is in `defaults` too", "leave one of them out")
    base = _check_points(space, settings, f"{where}: space")
    space = {name: _canonical(axis, name, space, settings) for name, axis in space.items()}
    sweep = Sweep(
        search=_search(asked.get("search", "tpe"), where),
        seed=_integer(asked.get("seed", 0), f"{where}: `seed`", low=0, high=2**32 - 1),
        goals=read_goals(asked.get("goal", {"maximize": "val/accuracy"}), f"{where}: goal"),
        space=space,
        fixed=dict(settings),
        runs=_integer(asked["runs"], f"{where}: `runs`", low=1, high=MAX_TRIALS) if "runs" in asked else None,
        minutes=_minutes(asked["minutes"], f"{where}: `minutes`") if "minutes" in asked else None,
        prune=_pruning(asked["prune"], f"{where}: prune") if "prune" in asked else None,
        confirm=_confirmation(asked["confirm"], base, f"{where}: confirm") if "confirm" in asked else None,
    )
    _check_together(sweep, base, where)
    return sweep


def _search(value: Any, where: str) -> SearchName:
    names = get_args(SearchName)
    if value not in names:
        what = f"{where}: `search` is one of {', '.join(names)}, not {shown(value)}"
        raise ConfigError(what, nearest(str(value)[:80], names))
    found: SearchName = value
    return found


def _check_points(space: Mapping[str, Axis], settings: Mapping[str, Any], where: str) -> RunConfig:
    """Refuse ends that a configuration cannot have, alone or two together; gives that of the first of all ends."""
    first = {name: axis.ends[0] for name, axis in space.items()}
    pairs = itertools.combinations(space, 2) if len(space) > 1 else ((name, name) for name in space)
    base = None
    for one, other in pairs:
        for a, b in itertools.product(space[one].ends, space[other].ends):
            point = {**first, one: a, other: b}
            try:
                config = run_config({**settings, **point})
            except ConfigError as error:
                raise ConfigError(
                    f"{where}: {_culprits(point, one, other, error)}: {error.what}", *error.hints
                ) from None
            if not config.val_split:
                what = f"{where}: a sweep chooses by validation figures, and there is no validation part"
                raise ConfigError(what, "set one aside: defaults: {val_split: 0.1}")
            base = base or config
    assert base is not None  # noqa: S101 - a space names a setting
    return base


def _culprits(point: Point, one: str, other: str, error: ConfigError) -> str:
    """The two settings that were varied, or the one that the error is about where it is another."""
    flagged = [name for name in point if error.what.startswith(settings_of(RunConfig)[name].flag)]
    names = flagged if flagged and flagged[0] not in (one, other) else dict.fromkeys((one, other))
    return " with ".join(f"{name}={as_typed(point[name])}" for name in names)


def _canonical(axis: Axis, name: str, space: Mapping[str, Axis], settings: Mapping[str, Any]) -> Axis:
    """The axis with the values that configurations have, as `max_time: 5` is 5.0."""
    if isinstance(axis, Range):
        return axis
    first = {other: one.ends[0] for other, one in space.items()}
    return Choices(options=tuple(getattr(run_config({**settings, **first, name: one}), name) for one in axis.options))


def _pruning(value: Any, where: str) -> Pruning:
    asked = keyed(value, ("min_epochs", "keep"), where)
    min_epochs = _integer(asked.get("min_epochs", 1), f"{where}: `min_epochs`", low=1, high=MAX_COUNT)
    given = asked.get("keep", "1/3")
    try:
        keep = Fraction(str(given)).limit_denominator(1000) if _SHARE.fullmatch(str(given)) else Fraction(0)
    except (ValueError, ZeroDivisionError):
        keep = Fraction(0)
    if isinstance(given, bool) or not _SMALLEST_SHARE <= keep <= 1 - _SMALLEST_SHARE:
        raise ConfigError(f"{where}: `keep` is a share from 0.01 to 0.99, not {shown(given)}", "for example: keep: 1/3")
    return Pruning(min_epochs=min_epochs, keep=keep)


def _confirmation(value: Any, base: RunConfig, where: str) -> Confirmation:
    asked = keyed(value, ("best", "seeds"), where)
    best = _integer(asked.get("best", 3), f"{where}: `best`", low=1, high=MOST_CONFIRMED)
    if base.seed + 1 >= MAX_SEED:
        raise ConfigError(f"{where}: no seed comes after {base.seed}", "give `defaults` a smaller seed")
    seeds = seeds_of(asked.get("seeds", 5), first=base.seed + 1, where=f"{where}: seeds:")
    if base.seed in seeds:
        what = f"{where}: seed {base.seed} is the one the sweep's trials are trained with"
        raise ConfigError(what, "a fresh one shows how much of a figure was luck: leave it out")
    return Confirmation(best=best, seeds=seeds)


def _check_together(sweep: Sweep, base: RunConfig, where: str) -> None:
    """Refuse parts that do not go together."""
    size, two = sweep.size, len(sweep.goals) > 1
    if sweep.search == "grid":
        for name, axis in sweep.space.items():
            if isinstance(axis, Range) and axis.step is None:
                what = f"{where}: space: `{name}`: a grid takes lists and ranges with a step"
                raise ConfigError(what, f"for example: {name}: {{low: {axis.low:g}, high: {axis.high:g}, step: ...}}")
        if size is not None and size > MAX_TRIALS:
            raise ConfigError(f"{where}: this grid has {size:,} points", f"at most {MAX_TRIALS:,} fit one sweep")
    elif sweep.runs is None and sweep.minutes is None:
        raise ConfigError(f"{where}: `runs` and `minutes` are missing, so it would never end", "for example: runs: 40")
    if sweep.prune is not None and two:
        what = f"{where}: trials with two goals are not pruned: no single figure says which to stop"
        raise ConfigError(what, "leave `prune` out, or one of the goals")
    most = max((int(end) for end in _ends(sweep, "epochs")), default=base.epochs)
    if sweep.prune is not None and not sweep.prune.rungs(most):
        what = f"{where}: prune: after min_epochs {sweep.prune.min_epochs} no epoch of {most} is left"
        raise ConfigError(what, "give more `epochs`, or fewer `min_epochs`")


def _ends(sweep: Sweep, name: str) -> tuple[Any, ...]:
    return sweep.space[name].ends if name in sweep.space else ()


def _integer(value: Any, what: str, *, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise ConfigError(
            f"{what} is an integer from {low:,} to {high:,}, not {shown(value)}", f"for example: {max(low, 10)}"
        )
    return value


def _minutes(value: Any, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= MAX_COUNT:
        raise ConfigError(f"{what} is a number above 0, not {shown(value)}", "for example: minutes: 30")
    return float(value)
