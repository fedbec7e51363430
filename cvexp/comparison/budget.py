"""A budget as people type it: `latency_ms<1, bytes<100k`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.comparison.figures import Figure, find_figure
from cvexp.errors import ConfigError
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cvexp.stats import Interval

EXAMPLE = 'for example: --budget "latency_ms<1, bytes<100k"'
MAX_LIMITS = 20
_LIMIT = re.compile(r"\s*([\w/.\- ]+?)\s*(<=|>=|<|>)\s*([0-9.,_]*[0-9.](?:e[+-]?\d+)?)\s*([a-zA-Zµ%]*)\s*")
_COUNTS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_UNITS: dict[str, dict[str, float]] = {
    "ms": {"": 1.0, "ms": 1.0, "us": 1e-3, "µs": 1e-3, "s": 1e3},
    "s": {"": 1.0, "s": 1.0, "ms": 1e-3, "min": 60.0, "h": 3600.0},
    "bytes": {
        **_COUNTS,
        "B": 1.0,
        "kB": 1e3,
        "KB": 1e3,
        "MB": 1e6,
        "GB": 1e9,
        "KiB": 2.0**10,
        "MiB": 2.0**20,
        "GiB": 2.0**30,
    },
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Limit:
    """An upper limit of a figure, or a lower one; a strict one is not met by itself; `text` is how it was typed."""

    figure: Figure
    upper: bool
    strict: bool
    value: float
    text: str

    def is_met(self, interval: Interval | None) -> bool:
        """Whether the end of the interval that is nearer to the limit meets it; of one run, its value."""
        if interval is None:
            return False
        end = interval.high if self.upper else interval.low
        value = interval.mean if end is None else end
        if value == self.value:
            return not self.strict
        return value < self.value if self.upper else value > self.value


def read_budget(text: str, known: Iterable[str]) -> tuple[Limit, ...]:
    """The limits in a budget; `known` are the metric keys that any run has.

    Raises:
        ConfigError: It cannot be read, or names an unknown metric; the nearest one is named.
    """
    keys = sorted(known)
    parts = re.split(r",(?!\d{3}(?:\D|$))", text)  # 100,000 is one number
    if len(parts) > MAX_LIMITS:
        raise ConfigError(f"--budget has {len(parts)} limits, more than {MAX_LIMITS}", EXAMPLE)
    return tuple(_limit(part, keys) for part in parts)


def _limit(part: str, known: list[str]) -> Limit:
    found = _LIMIT.fullmatch(part)
    if found is None:
        raise ConfigError(f"--budget: cannot read {shown(part.strip())}", EXAMPLE)
    name, sign, digits, unit = found.groups()
    figure = find_figure(name, known, what="--budget")
    units = {"": 1.0, "%": 0.01} if figure.is_fraction else _UNITS.get(figure.unit, _COUNTS)
    try:
        number = float(digits.replace(",", "").replace("_", ""))
    except ValueError:
        number = math.nan
    if unit not in units or not math.isfinite(number):
        valid = ", ".join(name for name in units if name)
        raise ConfigError(
            f"--budget: cannot read {shown(digits + unit)} as a limit of {name}", f"units: {valid}; {EXAMPLE}"
        )
    value = number * units[unit]
    if figure.is_fraction and not unit and value > 1:  # 88 is 88%
        value /= 100
    return Limit(figure=figure, upper=sign[0] == "<", strict=len(sign) == 1, value=value, text=part.strip())
