"""What a comparison is asked for, checked before a store is opened."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from cvexp.comparison.figures import find_figure
from cvexp.errors import ConfigError, nearest
from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Collection

SORT_KEYS = {
    "accuracy": Metric.TEST_ACCURACY.value,
    "balanced-accuracy": Metric.TEST_BALANCED_ACCURACY.value,
    "macro-f1": Metric.TEST_MACRO_F1.value,
    "loss": Metric.TEST_LOSS.value,
    "val-accuracy": Metric.VAL_ACCURACY.value,
    "seconds": Metric.TRAIN_SECONDS.value,
    "latency": Metric.LATENCY_MS.value,
    "speed": Metric.IMAGES_PER_SECOND.value,
    "parameters": Metric.PARAMETERS.value,
}
"""Short names for metrics; `started`, any name of a figure and any metric's own key will do as well."""

Split = Literal["val", "test"]
QUALITIES: dict[str, dict[Split, str]] = {
    "accuracy": {"val": Metric.VAL_ACCURACY.value, "test": Metric.TEST_ACCURACY.value},
    "balanced-accuracy": {"val": Metric.VAL_BALANCED_ACCURACY.value, "test": Metric.TEST_BALANCED_ACCURACY.value},
}
"""What a comparison may be by: the metric of each split, whose images are weighted alike or by their classes."""

LAST, BEST = "last", "best"
MAX_EPOCH = 10**9
LARGEST_MARGIN = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What is compared and how.

    Attributes:
        by: A name of QUALITIES: what verdicts, front and pick are about.
        sort: See SORT_KEYS; without it, by the same.
        last: The most recently started so many runs.
        where: A filter in MLflow's language.
        repeats: Whether runs of one recipe are put into one group.
        at: `last`; `best`, each run's epoch with the best held-out accuracy; or the number of an epoch.
        columns: Names of columns.
        view: A name of comparison.columns.VIEWS.
        front: Names of the front's objectives; without it, accuracy and a time.
        margin: A difference of accuracy below which two models are as good as equal, in [0, 1].
        budget: Limits as they are typed; see comparison.budget.
        pick: Whether to choose one, also without a budget.
        exports: Whether exported files that were timed are entries too; the front is then of accuracy and latency.
    """

    by: str = "accuracy"
    sort: str | None = None
    last: int | None = None
    where: str | None = None
    repeats: bool = True
    at: str = LAST
    columns: tuple[str, ...] | None = None
    view: str | None = None
    front: tuple[str, ...] | None = None
    margin: float = 0.005
    budget: str | None = None
    pick: bool = False
    exports: bool = False

    def __post_init__(self) -> None:
        """Refuse a margin, an epoch or a front that cannot be meant."""
        if self.by not in QUALITIES:
            raise ConfigError(f"--by {self.by}: unknown", nearest(self.by, QUALITIES))
        if not (math.isfinite(self.margin) and 0 < self.margin <= LARGEST_MARGIN):
            points = f"{100 * self.margin:g}"
            raise ConfigError(
                f"--margin {points}: expected percentage points, above 0 and at most {100 * LARGEST_MARGIN:g}",
                "for example: --margin 0.5",
            )
        if self.at not in (LAST, BEST) and self.epoch is None:
            raise ConfigError(f"--at {self.at}: expected last, best, or an epoch from 1 on", "for example: --at 3")
        if self.front is not None and len([name for name in self.front if name.strip()]) < 2:  # noqa: PLR2004 - a trade-off
            raise ConfigError(
                "--front: a front has two objectives at least", "for example: --front accuracy,latency_ms"
            )
        if self.exports and self.at != LAST:
            raise ConfigError(f"--exports goes without --at {self.at}", "files are of a run's stored weights")
        if self.budget is not None and not self.budget.strip():
            raise ConfigError("--budget is empty", 'for example: --budget "latency_ms<1, bytes<100k"')

    @property
    def objectives(self) -> tuple[str, ...] | None:
        """Those of the front that were asked for; what sets a file apart from its run is its latency."""
        return (self.quality("test"), "latency_ms") if self.exports and self.front is None else self.front

    def quality(self, split: Split) -> str:
        """The key of the metric that the comparison is by, on a split."""
        return QUALITIES[self.by][split]

    @property
    def is_balanced(self) -> bool:
        """Whether each class counts the same."""
        return self.by == "balanced-accuracy"

    @property
    def epoch(self) -> int | None:
        """The epoch that `at` names, if it names one."""
        is_number = self.at.isascii() and self.at.isdigit() and len(self.at) < len(str(MAX_EPOCH))
        return int(self.at) if is_number and int(self.at) else None

    @property
    def picks(self) -> bool:
        """Whether one is to be chosen."""
        return self.pick or self.budget is not None


def sort_key(sort: str, known: Collection[str], *, any_run: bool) -> str:
    """The metric key to sort by, or `started`; where there is no run to sort, nothing is refused.

    Raises:
        ConfigError: No run has such a metric.
    """
    if sort in SORT_KEYS or sort == "started" or not any_run:
        return SORT_KEYS.get(sort, sort)
    try:
        return find_figure(sort, known, what="--sort").key
    except ConfigError:
        names = [*SORT_KEYS, "started", *sorted(known)]
        raise ConfigError(f"cannot sort by {sort!r}", nearest(sort, names)) from None
