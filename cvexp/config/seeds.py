"""Which seeds are asked for: so many from the first one on, or a list of them."""

import re
from collections.abc import Iterable, Sequence

from cvexp.config.loop import MAX_SEED
from cvexp.errors import ConfigError
from cvexp.text import shown

MAX_SEEDS = 1000
LONGEST_LIST = 5000
"""Characters of a list of seeds as it is typed; a tag of an MLflow store holds as many."""

EXAMPLE = "for example: 5, or 1,2,3"
_NUMBER = re.compile(r"-?[0-9]{1,20}")


def seeds_of(value: object, *, first: int, where: str) -> tuple[int, ...]:
    """The seeds that `value` means: a number of them, counted from `first` on, or the ones that it lists.

    Text is read as it is typed: `5` or `1,2,3`. `where` names the flag or key in errors.

    Raises:
        ConfigError: It is neither, names no seed, too many, one twice, or one out of range.
    """
    given = f"{where} {shown(value)[1:-1] if isinstance(value, str) else shown(value)}"
    read: object = value
    if isinstance(value, str):
        numbers = _numbers(value)
        read = numbers[0] if len(numbers) == 1 else numbers
    if isinstance(read, int) and not isinstance(read, bool):
        if not 1 <= read <= MAX_SEEDS:
            raise ConfigError(f"{given}: a number of seeds is from 1 to {MAX_SEEDS:,}", EXAMPLE)
        read = list(range(first, first + read))
    if not (isinstance(read, list) and read and all(type(seed) is int for seed in read)):
        raise ConfigError(f"{given}: expected a number of seeds, or a list of them", EXAMPLE)
    _check(read, given)
    return tuple(read)


def as_list(seeds: Iterable[int]) -> str:
    """The seeds as they are typed, and as `listed` reads them."""
    return ",".join(map(str, seeds))


def listed(text: str, *, where: str) -> tuple[int, ...]:
    """The seeds of a list, which may be a single one; raises what `seeds_of` does."""
    return seeds_of(_numbers(text), first=0, where=where)


def _numbers(text: str) -> list[int]:
    """The numbers of a list as it is typed; none for other text."""
    parts = [part.strip() for part in text.split(",")]
    return [int(part) for part in parts] if all(map(_NUMBER.fullmatch, parts)) else []


def _check(seeds: Sequence[int], given: str) -> None:
    if len(seeds) > MAX_SEEDS or len(as_list(seeds)) > LONGEST_LIST:
        raise ConfigError(f"{given}: that list is too long", f"at most {MAX_SEEDS:,} seeds")
    wrong = next((seed for seed in seeds if not 0 <= seed < MAX_SEED), None)
    if wrong is not None:
        raise ConfigError(f"{given}: seed {wrong} is not from 0 to 2**63 - 1", EXAMPLE)
    twice = next((seed for n, seed in enumerate(seeds) if seed in seeds[:n]), None)
    if twice is not None:
        raise ConfigError(f"{given}: seed {twice} is given twice", "name each seed once")
