"""What a slot of a cluster has, as `--slot KEY=VALUE` says it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, nearest
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, kw_only=True, slots=True)
class Slot:
    """What a slot has.

    Attributes:
        cpus: CPU cores, which are its threads; None where it was not said.
        gpus: GPUs.
        others: What only the scheduler understands, by the key it was given with.
    """

    cpus: int | None = None
    gpus: int = 0
    others: Mapping[str, str] = field(default_factory=dict)

    @property
    def device(self) -> str | None:
        """The device of its attempts; a scheduler shows a process the GPUs of its slot alone."""
        return "cuda" if self.gpus else None


def slots_given(words: Sequence[str]) -> dict[str, str]:
    """The `KEY=VALUE` of `--slot`, by key; raises ConfigError for what is none, and for a key that comes twice."""
    given: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not (key and equals and value) or key in given:
            why = "given twice" if key in given else "not KEY=VALUE"
            raise ConfigError(f"--slot {shown(word)}: {why}", "for example: --slot cpus=4 --slot gpus=1")
        given[key] = value
    return given


def slot_of(given: Mapping[str, str], *, others: Sequence[str] = ()) -> Slot:
    """Read `--slot KEY=VALUE`; `others` are the keys that the scheduler takes besides `cpus` and `gpus`.

    Raises:
        ConfigError: A key is unknown, or a number is none.
    """
    valid = ("cpus", "gpus", *others)
    for key in given:
        if key not in valid:
            raise ConfigError(f"--slot {shown(key)}: unknown", nearest(key, valid))
    return Slot(
        cpus=_count("cpus", given["cpus"], at_least=1) if "cpus" in given else None,
        gpus=_count("gpus", given.get("gpus", "0"), at_least=0),
        others={key: value for key, value in given.items() if key in others},
    )


def _count(key: str, value: str, *, at_least: int) -> int:
    if not (value.isascii() and value.isdigit() and int(value) >= at_least):
        raise ConfigError(
            f"--slot {key}={shown(value)}: not a whole number from {at_least}", f"for example: --slot {key}=2"
        )
    return int(value)


def missing(extra: str, executor: str) -> ConfigError:
    """What is raised where the extra of an executor is not installed."""
    return ConfigError(f"--executor {executor}: {extra} is not installed", f"pip install 'cvexp[{executor}]'")
