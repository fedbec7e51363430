"""A search space: the values that each setting of a sweep may have, in Optuna's words."""

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from cvexp.config.keys import keyed
from cvexp.config.option import EXPECTED, as_typed, settings_of
from cvexp.config.run import RunConfig
from cvexp.errors import ConfigError
from cvexp.text import shown

SHARED = ("seed", "dataset", "val_split", "split_seed", "limit", "device", "devices", "threads")
"""Settings that all trials of a sweep share: what is chosen by the validation images needs the same ones."""

EXAMPLE = "for example: lr: {low: 0.001, high: 0.1, log: true}, or a list: optimizer: [sgd, adam]"
MOST_LISTED = 50
"""Values of a list, each of which is validated with those of every other list."""

_ROUNDING, _HUGE = 1e-9, 1e300


@dataclass(frozen=True, kw_only=True, slots=True)
class Range:
    """Numbers from `low` to `high`, both included; `whole` ones only integers.

    With `log` they are spread evenly on a logarithmic scale; with `step` they are `low` plus a number of steps.
    """

    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    @property
    def ends(self) -> tuple[float, ...]:
        """The values that are validated: the lowest and the highest."""
        return self.low, self.high

    @property
    def size(self) -> int | None:
        """How many values there are; None for a continuous range."""
        if self.step is None and not self.whole:
            return None
        return round((self.high - self.low) / (self.step or 1)) + 1

    def values(self) -> tuple[float, ...]:
        """All values of a range that is not continuous, in order."""
        step = self.step or 1
        return tuple(self.rounded(self.low + n * step) for n in range(self.size or 0))

    def rounded(self, value: float) -> float:
        """The nearest value of the range: of a continuous one with four significant digits, as one would type it."""
        if self.size is not None:
            step = self.step or 1
            value = self.low + round((value - self.low) / step) * step
        digits = 4 if self.size is None else 12
        value = min(self.high, max(self.low, float(f"{value:.{digits}g}")))
        return int(value) if self.whole else value

    def plain(self) -> dict[str, Any]:
        """As a file has it."""
        more = {"log": True} if self.log else {} if self.step is None else {"step": self.step}
        return {"low": self.low, "high": self.high, **more}


@dataclass(frozen=True, kw_only=True, slots=True)
class Choices:
    """Values of any kind, without an order."""

    options: tuple[Any, ...]

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that are validated: all of them."""
        return self.options

    @property
    def size(self) -> int:
        """How many there are."""
        return len(self.options)

    def values(self) -> tuple[Any, ...]:
        """All of them, in order."""
        return self.options

    def plain(self) -> list[Any]:
        """As a file has it."""
        return list(self.options)


Axis = Range | Choices


def space_size(space: Mapping[str, Axis]) -> int | None:
    """How many points a space has; None where a range is continuous."""
    sizes = [axis.size for axis in space.values()]
    return None if None in sizes else math.prod(size for size in sizes if size is not None)


def read_space(value: Any, where: str) -> dict[str, Axis]:
    """Read a space: a mapping from settings to ranges and lists; what is checked of their values is their type.

    Raises:
        ConfigError: A name, a key or a value is wrong; the nearest valid name is named.
    """
    known = [name for name in settings_of(RunConfig) if name not in SHARED]
    for name in value if isinstance(value, dict) else ():
        if name in SHARED:
            how = (
                "repeat the best points instead, with confirm: {seeds: 10}"
                if name == "seed"
                else "set it in `defaults`"
            )
            raise ConfigError(f"{where}: `{name}` is the same for all trials of a sweep", how)
    space = keyed(value, known, where)
    if not space:
        raise ConfigError(f"{where}: it names no setting", EXAMPLE)
    return {name: _axis(name, given, f"{where}: `{name}`") for name, given in space.items()}


def _axis(name: str, given: Any, where: str) -> Axis:
    kinds = {int, float} & {settings_of(RunConfig)[name].type, *get_args(settings_of(RunConfig)[name].type)}
    if isinstance(given, list):
        options = tuple(_number(one) if kinds else one for one in given)
        if not 1 <= len(options) <= MOST_LISTED:
            raise ConfigError(
                f"{where}: {len(options):,} values are listed", f"list 1 to {MOST_LISTED}, or give a range"
            )
        twice = next((one for n, one in enumerate(options) if one in options[:n]), None)
        if twice is not None:
            raise ConfigError(f"{where}: {as_typed(twice)} is listed twice", "list each value once")
        return Choices(options=options)
    if not isinstance(given, dict):
        raise ConfigError(f"{where}: a range or a list of values is wanted, not {shown(given)}", EXAMPLE)
    if not kinds or settings_of(RunConfig)[name].is_mapping:
        raise ConfigError(
            f"{where}: only numbers have a range, and this is {_kind(name)}", f"list its values: {name}: [...]"
        )
    return _range(keyed(given, ("low", "high", "log", "step"), where), where, whole=int in kinds)


def _kind(name: str) -> str:
    setting = settings_of(RunConfig)[name]
    return (
        "a mapping"
        if setting.is_mapping
        else setting.expected
        if setting.choices or setting.type in EXPECTED
        else "text"
    )


def _range(keys: Mapping[str, Any], where: str, *, whole: bool) -> Range:
    log = keys.get("log", False)
    if not isinstance(log, bool):
        raise ConfigError(f"{where}: `log` is true or false, not {shown(log)}", EXAMPLE)
    for end in ("low", "high"):
        if end not in keys:
            raise ConfigError(f"{where}: `{end}` is missing", EXAMPLE)
    low, high = (_finite(keys[end], f"{where}: `{end}`", whole=whole) for end in ("low", "high"))
    step = None if keys.get("step") is None else _finite(keys["step"], f"{where}: `step`", whole=whole)
    if low >= high:
        raise ConfigError(f"{where}: low {low:g} is not below high {high:g}", EXAMPLE)
    if log and low <= 0:
        raise ConfigError(f"{where}: a logarithmic range begins above 0, and low is {low:g}", "leave `log` out")
    if step is not None:
        _check_step(low, high, step, where, log=log)
    return Range(low=low, high=high, log=log, step=step, whole=whole)


def _check_step(low: float, high: float, step: float, where: str, *, log: bool) -> None:
    if log:
        raise ConfigError(f"{where}: `log` and `step` do not go together", "leave one out, or list the values")
    if step <= 0:
        raise ConfigError(f"{where}: step {step:g} is not above 0", EXAMPLE)
    n_steps = (high - low) / step
    if abs(n_steps - round(n_steps)) > _ROUNDING * max(1.0, n_steps) or round(n_steps) < 1:
        last = low + max(1, math.floor(n_steps)) * step
        raise ConfigError(
            f"{where}: high {high:g} is not low and a number of steps of {step:g}", f"give high: {last:g}"
        )


def _finite(value: Any, where: str, *, whole: bool) -> float:
    number = _number(value)
    if isinstance(number, bool) or not isinstance(number, int | float) or not -_HUGE < number < _HUGE:
        raise ConfigError(f"{where} is a number, not {shown(value)}", EXAMPLE)
    if whole and number != int(number):
        raise ConfigError(f"{where} is an integer, not {number:g}", "for example: {low: 8, high: 128}")
    return int(number) if whole else float(number)


def _number(value: Any) -> Any:
    """`value`; text such as `1e-4`, which YAML does not read as a number, as the number it is."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            number = float(value)
            return int(number) if number.is_integer() and "." not in value else number
    return value
