"""The order in which models are timed, how long they are warmed up, and when to stop; the clock is injected.

Every round times all models forward and then backward, or the other way round, so that a machine that gets slower or
faster favours none; figures of a model then differ from those of another only by what lies within a round.
"""

from __future__ import annotations

import gc
import math
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvexp.contention import BUSY_SHARE
from cvexp.inference.latency.figures import half_width

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from cvexp.inference.latency.stopwatch import Block, Call, Watch


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """The procedure's figures; times in seconds.

    Attributes:
        block_seconds: The least that a block takes; what a reading of the clock costs is small against it.
        warm_calls: The least number of calls before figures count; `warm_seconds` likewise.
        warm_agreement: How far the medians of the last three blocks may differ, relative to the smallest.
        warm_most_seconds: When figures count though they have not settled.
        rounds: The least number of rounds, and of clean ones for a ranking.
        precision: Half-width of the interval, relative, that is precise enough.
        most_seconds: When the rounds end, once there are `rounds` of them.
        waited: The share of a block's time spent waiting for a core that spoils its round.
    """

    block_seconds: float = 0.005
    warm_calls: int = 20
    warm_seconds: float = 0.3
    warm_agreement: float = 0.02
    warm_most_seconds: float = 1.5
    rounds: int = 15
    precision: float = 0.01
    most_seconds: float = 6.0
    waited: float = BUSY_SHARE


@dataclass(frozen=True, kw_only=True, slots=True)
class WarmUp:
    """The calls before figures count: seconds of the first, the number of all, and whether the times settled."""

    first_seconds: float
    n_calls: int
    settled: bool


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Round:
    """Two blocks of every model, in the models' order."""

    blocks: tuple[tuple[Block, Block], ...]

    def clean(self, limit: float) -> bool:
        """Whether no block waited longer for a core than that share of its time."""
        return all(block.waited <= limit for pair in self.blocks for block in pair)

    @property
    def logs(self) -> npt.NDArray[np.float64]:
        """float64 (models,), the mean of the logarithms of each model's two block medians, in seconds.

        The mean of a first and a last block is free of a drift that is linear over the round.
        """
        medians = np.array([[np.median(block.calls) for block in pair] for pair in self.blocks])
        means: npt.NDArray[np.float64] = np.log(medians).mean(axis=1)
        return means


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Rounds:
    """What was measured: all rounds in their order, and those of them in which nobody waited for a core."""

    every: tuple[Round, ...]
    clean: tuple[Round, ...]
    busy: bool

    @property
    def used(self) -> tuple[Round, ...]:
        """The rounds that figures come from: the clean ones, or all where there are too few of those."""
        return self.every if self.busy else self.clean


def warm_up(call: Call, watch: Watch, limits: Limits) -> WarmUp:
    """Call until the times have settled: the medians of three blocks in a row agree."""
    start, first = watch.now(), watch.first(call)
    n_calls, medians, settled = 1, deque[float](maxlen=3), False
    while (spent := watch.now() - start) < limits.warm_most_seconds:
        settled = len(medians) == medians.maxlen and max(medians) <= (1 + limits.warm_agreement) * min(medians)
        if settled and n_calls >= limits.warm_calls and spent >= limits.warm_seconds:
            break
        block = watch.block(call, seconds=limits.block_seconds)
        n_calls += len(block.calls)
        medians.append(float(np.median(block.calls)))
    return WarmUp(first_seconds=first, n_calls=n_calls, settled=settled)


def measure(calls: Sequence[Call], watch: Watch, limits: Limits, *, confidence: float) -> Rounds:
    """Time warm calls in rounds, all models in each, until the interval of every ratio is narrow or time is up.

    With one model it is the interval of its own time. `confidence` is that interval's.
    """
    order = list(range(len(calls)))
    every: list[Round] = []
    clean: list[Round] = []
    logs: list[npt.NDArray[np.float64]] = []
    start = watch.now()
    collecting = gc.isenabled()
    gc.disable()  # as timeit does: a collection would be charged to whoever happens to be timed
    try:
        while not _enough(every, logs, watch.now() - start, limits, confidence):
            forward = order if len(every) % 2 == 0 else order[::-1]
            blocks: list[list[Block]] = [[] for _ in calls]
            for which in (*forward, *reversed(forward)):
                blocks[which].append(watch.block(calls[which], seconds=limits.block_seconds))
            done = Round(blocks=tuple((first, second) for first, second in blocks))
            every.append(done)
            if done.clean(limits.waited):
                clean.append(done)
                logs.append(done.logs)
    finally:
        if collecting:
            gc.enable()
    return Rounds(every=tuple(every), clean=tuple(clean), busy=len(clean) < limits.rounds)


def _enough(
    every: Sequence[Round], logs: Sequence[npt.NDArray[np.float64]], seconds: float, limits: Limits, confidence: float
) -> bool:
    """Whether to stop: never before the least number of rounds, and then when time is up or intervals are narrow."""
    if len(every) < limits.rounds:
        return False
    if seconds >= limits.most_seconds:
        return True
    if len(logs) < limits.rounds:
        return False
    times = np.stack(logs)  # (rounds, models)
    first, second = np.triu_indices(times.shape[1], k=1)
    compared = times[:, first] - times[:, second] if len(first) else times
    return max(half_width(column, confidence) for column in compared.T) <= math.log1p(limits.precision)
