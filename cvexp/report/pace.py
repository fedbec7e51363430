"""How long runs that are trained one after the other will take, from what those before them took."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.results import EpochMetrics

MINUTE, HOUR = 60, 3600
LEAST_SECONDS = 10.0
"""An estimate from one epoch leaves out what follows training; below so many seconds that is too large a part."""

PLAINLY_OFF = 1.25
"""By which factor a later estimate differs from the one given before, to be given too."""


class Pace:
    """Estimates the seconds of runs that are trained one after the other, given their recipes.

    What was spent since the command `started` is part of them. An estimate is given once every run that is left has
    the recipe of one that was trained here. Where there is one recipe only, it is given after the first epoch already,
    from training alone, if that takes long.
    """

    def __init__(self, recipes: Sequence[str], *, started: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.n_runs = len(recipes)
        self._left = list(recipes)
        self._clock = clock
        self._started, self._run_started = started, clock()
        self._seconds: dict[str, float] = {}
        self._given: float | None = None

    def run_started(self) -> None:
        """Note that a run's first step comes next: what comes before the very first one is not repeated."""
        if not self._seconds:
            self._run_started = self._clock()

    def epoch_ended(self, epoch: EpochMetrics, n_epochs: int) -> float | None:
        """The estimate in seconds, if this is when to give the first one."""
        if self._seconds or self._given is not None or self.n_runs == 1 or len(set(self._left)) > 1:
            return None
        timing = epoch.timing
        seconds = timing.train_seconds + timing.evaluate_seconds
        training = n_epochs * (seconds - timing.first_step_seconds)
        if len(self._left) * training < LEAST_SECONDS:
            return None
        now = self._clock()
        return self._give(now - self._started - seconds + len(self._left) * training)

    def run_ended(self) -> float | None:
        """The estimate in seconds, if it is the first one or differs much from the one before."""
        now = self._clock()
        self._seconds[self._left.pop(0)] = now - self._run_started
        self._run_started = now
        if not self._left or not set(self._left) <= self._seconds.keys():
            return None
        return self._give(now - self._started + sum(self._seconds[one] for one in self._left))

    def _give(self, seconds: float) -> float | None:
        before = self._given
        if before is not None and max(seconds, before) < PLAINLY_OFF * min(seconds, before):
            return None
        self._given = seconds
        return seconds


def about(duration: float) -> str:
    """A duration in seconds, roughly: `40 s`, `1 min 40 s`, `2 h 5 min`."""
    whole = round(duration)
    if whole < MINUTE:
        return f"{max(whole, 1)} s"
    if whole < HOUR:
        return f"{whole // MINUTE} min {whole % MINUTE} s"
    return f"{whole // HOUR} h {whole % HOUR // MINUTE} min"
