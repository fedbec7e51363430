"""What the repeats of one recipe have in common, over their seeds."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from cvexp.stats import Interval

QUALITY = ("train/", "val/", "test/")
"""How keys of metrics begin that say how much was learnt."""


def summary(figures: Sequence[Mapping[str, float]], *, withheld: tuple[str, ...] = ()) -> dict[str, Interval]:
    """The mean over seeds of each metric that all of them have, with a 95% t interval.

    There is no interval for keys that begin with one of `withheld`, and none for figures that are not all finite.
    """
    from cvexp.comparison.groups import interval_of

    keys = [key for key in figures[0] if all(key in one for one in figures)]
    found = {key: interval_of([one[key] for one in figures]) for key in keys}
    return {k: replace(over, low=None, high=None) if k.startswith(withheld) else over for k, over in found.items()}


def collapsed_seeds(seeds: Sequence[int], figures: Sequence[Mapping[str, float]], n_classes: int) -> tuple[int, ...]:
    """The seeds whose test accuracy says that nothing was learnt; see stats.collapsed."""
    from cvexp.stats import collapsed

    if n_classes == 1:
        return ()
    fell = collapsed([one.get(Metric.TEST_ACCURACY, math.nan) for one in figures], n_classes)
    return tuple(seed for seed, fallen in zip(seeds, fell, strict=True) if fallen)
