"""Which points are tried in which order, where earlier figures do not matter: all of a grid, or random ones."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from cvexp.config.space import Choices, space_size

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from cvexp.config.space import Axis
    from cvexp.config.sweep import Point

MOST_LISTED = 1_000_000
"""Points of a space that are drawn without replacement."""


def grid_point(space: Mapping[str, Axis], number: int) -> Point | None:
    """The point of that number, from 0 on, the last setting varying fastest; None after the last one."""
    size = space_size(space)
    if size is None or number >= size:
        return None
    point: dict[str, Any] = {}
    for name, axis in reversed(list(space.items())):
        number, index = divmod(number, axis.size or 1)
        point[name] = axis.values()[index]
    return {name: point[name] for name in space}


def random_point(space: Mapping[str, Axis], number: int, *, seed: int) -> Point | None:
    """The random point of that number, from 0 on: the same at every call, and independent of those before.

    Of a space with at most `MOST_LISTED` points each comes once, and None after the last one; draws from others may
    repeat. Ranges are uniform, on a logarithmic scale if they say so.
    """
    size = space_size(space)
    if size is not None and size <= MOST_LISTED and all(_is_even(axis) for axis in space.values()):
        return grid_point(space, int(_shuffled(size, seed)[number])) if number < size else None
    rng = np.random.default_rng((seed, number))
    return {name: _draw(axis, rng) for name, axis in space.items()}


def _is_even(axis: Axis) -> bool:
    """Whether each value of an axis is as likely as the others."""
    return isinstance(axis, Choices) or not axis.log


@lru_cache(maxsize=4)
def _shuffled(size: int, seed: int) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).permutation(size)


def _draw(axis: Axis, rng: np.random.Generator) -> Any:
    if isinstance(axis, Choices):
        return axis.options[int(rng.integers(axis.size))]
    if axis.log:
        half = 0.5 if axis.whole else 0.0  # so that the lowest and the highest integer are as likely as the others
        value = math.exp(rng.uniform(math.log(axis.low - half), math.log(axis.high + half)))
    elif axis.size is not None:
        value = axis.low + int(rng.integers(axis.size)) * (axis.step or 1)
    else:
        value = rng.uniform(axis.low, axis.high)
    return axis.rounded(value)
