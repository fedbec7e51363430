"""The other seeds of a run's recipe, and how accurate the recipe is over all of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvexp.comparison.groups import interval_of, seed_of
from cvexp.results import Metric
from cvexp.runs import RECIPE
from cvexp.stats import collapsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.runs import RunSummary
    from cvexp.stats import Interval
    from cvexp.tracking.store import Store

MAX_REPEATS = 100
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, kw_only=True, slots=True)
class OverSeeds:
    """Test accuracy over the seeds of a recipe: the mean, and its 95% interval unless seeds collapsed."""

    seeds: tuple[int, ...]
    accuracy: Interval
    n_collapsed: int


def repeats_of(store: Store, run: RunSummary) -> list[RunSummary]:
    """A run, and the finished runs of its recipe in its experiment that were measured on its test images."""
    from cvexp.tracking.queries import search

    if not _DIGEST.fullmatch(run.recipe):  # a store's content is untrusted
        return [run]
    own = replace(store, experiment_id=run.experiment_id)
    found = search(own, where=f"tags.`{RECIPE}` = '{run.recipe}'", status="FINISHED", last=MAX_REPEATS)
    return [run, *(one for one in found if one.test_set == run.test_set and one.run_id != run.run_id)]


def over_seeds(repeats: Sequence[RunSummary], *, n_classes: int | None) -> OverSeeds | None:
    """The accuracy over the seeds, of each the latest run; None for fewer than two seeds."""
    latest = {seed_of(run): run for run in sorted(repeats, key=lambda run: run.started_at)}
    found = {
        seed: accuracy
        for seed, run in latest.items()
        if seed is not None and 0 <= (accuracy := run.metrics.get(Metric.TEST_ACCURACY, -1.0)) <= 1
    }
    if len(found) < 2:  # noqa: PLR2004 - repeats
        return None
    seeds = tuple(sorted(found))
    values = [found[seed] for seed in seeds]
    n_collapsed = sum(collapsed(values, n_classes)) if n_classes and n_classes > 1 else 0
    interval = interval_of(values)
    if n_collapsed:
        interval = replace(interval, low=None, high=None)
    return OverSeeds(seeds=seeds, accuracy=interval, n_collapsed=n_collapsed)
