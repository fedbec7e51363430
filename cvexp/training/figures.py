"""Figures of a whole run that follow from its history: median epoch, time to an accuracy, time waited for a core."""

from __future__ import annotations

import statistics
from itertools import accumulate
from typing import TYPE_CHECKING

from cvexp.contention import BUSY_TRAINING_SHARE
from cvexp.optim.early_stop import best_of, out_of_patience
from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.config import RunConfig
    from cvexp.machine import MachineState
    from cvexp.results import EpochMetrics

SECONDS_PER_MINUTE = 60


def history_figures(history: Sequence[EpochMetrics], *, target_accuracy: float | None) -> dict[str, float]:
    """By metric key, those that there are.

    - `time/epoch_seconds_median`: of training and evaluation, over the epochs after the first.
    - `time/to_accuracy`: seconds of training steps until the end of the first epoch whose held-out accuracy is
      `target_accuracy` or more.
    - `time/waited_share`: see `waited_share`.
    """
    figures = {
        Metric.EPOCH_SECONDS_MEDIAN: statistics.median(e.timing.seconds for e in history[1:]) if history[1:] else None,
        Metric.SECONDS_TO_ACCURACY: _seconds_to(history, target_accuracy),
        Metric.WAITED_SHARE: waited_share(history),
    }
    return {key.value: value for key, value in figures.items() if value is not None}


def _seconds_to(history: Sequence[EpochMetrics], accuracy: float | None) -> float | None:
    if accuracy is None:
        return None
    seconds = accumulate(epoch.timing.train_seconds for epoch in history)
    reached = zip(history, seconds, strict=True)
    return next((after for epoch, after in reached if epoch.held_out.metrics.accuracy >= accuracy), None)


def waited_share(history: Sequence[EpochMetrics]) -> float | None:
    """Of the seconds of training steps, the share in which some thread waited for a core, in [0, 1].

    None where no epoch knows; see `CpuUse.waited_share`.
    """
    known = [(e.timing.waited_seconds, e.timing.train_seconds) for e in history if e.timing.waited_seconds is not None]
    total = sum(seconds for _, seconds in known)
    return min(1.0, sum(waited for waited, _ in known) / total) if total > 0 else None


def busy_text(history: Sequence[EpochMetrics], *, n_threads: int, machine: MachineState) -> str:
    """One line that says why the run's times are not to be ranked; empty where its threads hardly waited for cores.

    `machine` is its state before training.
    """
    share = waited_share(history)
    if share is None or share <= BUSY_TRAINING_SHARE:
        return ""
    timings = [epoch.timing for epoch in history if epoch.timing.cpu_seconds is not None]
    cpu = sum(one.cpu_seconds or 0.0 for one in timings) / sum(one.train_seconds for one in timings)
    plural = "" if n_threads == 1 else "s"
    seen = [f"waited {share:.0%} of the training time for a core", f"{cpu:.2g} CPU seconds a second"]
    start = f"; at the start: {machine}" if str(machine) else ""
    return f"{', '.join(seen)} on {n_threads} thread{plural}{start}"


class ContentionNotice:
    """Answers once with the share of its time that a training waited for a core: when it is too large for a ranking."""

    def __init__(self) -> None:
        self._given = False

    def __call__(self, history: Sequence[EpochMetrics]) -> float | None:
        """See `waited_share`; None where that is small, and after the answer was given."""
        share = waited_share(history)
        if self._given or share is None or share <= BUSY_TRAINING_SHARE:
            return None
        self._given = True
        return share


def time_is_up(history: Sequence[EpochMetrics], config: RunConfig) -> bool:
    """Whether training and evaluation took the `max_time` of `config`, so that no further epoch begins."""
    taken = sum(epoch.timing.seconds for epoch in history)
    return config.max_time is not None and taken >= SECONDS_PER_MINUTE * config.max_time


def no_better(history: Sequence[EpochMetrics], config: RunConfig) -> bool:
    """Whether the `early_stop` of `config` ends the training: so many epochs had no better validation figures."""
    figures = [epoch.held_out.metrics for epoch in history]
    return config.early_stop is not None and out_of_patience(figures, config.early_stop, config.monitor)


def is_over(history: Sequence[EpochMetrics], config: RunConfig) -> bool:
    """Whether no further epoch begins."""
    return len(history) >= config.epochs or time_is_up(history, config) or no_better(history, config)


def stopped_text(history: Sequence[EpochMetrics], config: RunConfig) -> str:
    """Why a run that ended has fewer epochs than `config` asks for; empty where it has all of them."""
    if len(history) == config.epochs or not is_over(history, config):
        return ""
    after = f"after {len(history)} of {config.epochs} epochs"
    if time_is_up(history, config):
        return f"{after}: --max-time {config.max_time:g} had passed"
    best, figure = best_of([epoch.held_out.metrics for epoch in history], config.monitor) + 1, config.monitored
    return f"{after}: validation {figure} was not better than after epoch {best} (--early-stop {config.early_stop})"
