"""The times of trained models for batches of one size, measured together on one device in this process."""

from __future__ import annotations

import contextlib
import itertools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from cvexp.contention import CpuMeter
from cvexp.inference.latency import figures, procedure
from cvexp.inference.latency.figures import Measured, Ratio
from cvexp.inference.latency.procedure import Limits
from cvexp.inference.latency.stopwatch import Stopwatch
from cvexp.inference.predictor import Preparing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import torch
    from torch import Tensor

    from cvexp.inference.latency.procedure import Rounds, WarmUp
    from cvexp.inference.latency.stopwatch import Call
    from cvexp.inference.predictor import Predictor

BATCHES, IMAGE_BYTES = 64, 2**26
"""The most different batches that a model is timed on, one after the other, and the most memory for them."""

WARM_SECONDS = 4.0
"""For all warm-ups together, beyond the least that each of them takes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A model to time, and images for it: uint8 (N, C, H, W), N at least 1."""

    predictor: Predictor
    images: Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTimes:
    """What one model takes for one batch.

    Attributes:
        p50: Median of a call, milliseconds; `p90` and `p95` likewise, and `p99` where enough calls were made on a quiet
            machine.
        images_per_second: Of calls that follow each other without a wait.
        first_call_ms: The first call with such a batch.
        n_calls: That the figures come from.
        settled: Whether the times had settled before the warm-up ended.
    """

    p50: Measured
    p90: Measured
    p95: Measured
    p99: float | None
    images_per_second: float
    first_call_ms: float
    n_calls: int
    settled: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchTimes:
    """What several models take for batches of one size.

    Attributes:
        models: In the order they were named.
        ratios: Of every two models.
        n_clean_rounds: Of all `n_rounds`, those in which no block waited for a core.
        busy: Whether these were too few: figures then come from all rounds, and the models are not to be ranked.
        seconds: That measuring took.
    """

    batch: int
    models: tuple[ModelTimes, ...]
    ratios: tuple[Ratio, ...]
    n_rounds: int
    n_clean_rounds: int
    busy: bool
    seconds: float

    @property
    def order(self) -> list[int]:
        """The indices of the models by their medians, the fastest first."""
        return sorted(range(len(self.models)), key=lambda index: self.models[index].p50.value)

    def ratio(self, a: int, b: int) -> Ratio:
        """How many times as long the model at index `a` takes as another one at `b`."""
        found = next(one for one in self.ratios if {one.a, one.b} == {a, b})
        return found if found.a == a else found.inverse

    def rank(self, index: int) -> int | None:
        """1 and the number of models that are certainly faster; None on a busy machine.

        Models that cannot be told apart may share a rank.
        """
        others = [other for other in range(len(self.models)) if other != index]
        return None if self.busy else 1 + sum(self.ratio(index, other).certainly_slower for other in others)


def shared_limits(n_models: int, n_batches: int) -> Limits:
    """The limits for one of several sizes of batches: all sizes together have the time of one."""
    limits = Limits()
    warm = max(limits.warm_seconds, min(limits.warm_most_seconds, WARM_SECONDS / (n_models * n_batches)))
    return replace(limits, warm_most_seconds=warm, most_seconds=limits.most_seconds / n_batches)


def time_models(
    subjects: Sequence[Subject], device: torch.device, *, batch: int, n_threads: int, limits: Limits
) -> BatchTimes:
    """Warm up and time all models with batches of `batch` images, in turns.

    Args:
        subjects: On `device`, in evaluation mode and in their memory format.
        device: Images are there before and logits after each call.
        batch: At least 1; a model with fewer images gets them repeatedly.
        n_threads: CPU threads for one operation.
        limits: Of the procedure.
    """
    start = time.perf_counter()
    with contextlib.ExitStack() as opened:
        calls = [opened.enter_context(_prepared(one, device, batch, n_threads)) for one in subjects]
        meter = opened.enter_context(CpuMeter())
        watch = Stopwatch(device, meter, n_threads=n_threads)
        warm = [procedure.warm_up(call, watch, limits) for call in calls]
        confidence = figures.pairwise_confidence(len(calls))
        rounds = procedure.measure(calls, watch, limits, confidence=confidence)
    models = tuple(_model_times(rounds, index, warm=one, batch=batch) for index, one in enumerate(warm))
    return BatchTimes(
        batch=batch,
        models=models,
        ratios=figures.ratios(np.stack([one.logs for one in rounds.used])),
        n_rounds=len(rounds.every),
        n_clean_rounds=len(rounds.clean),
        busy=rounds.busy,
        seconds=time.perf_counter() - start,
    )


@contextlib.contextmanager
def _prepared(subject: Subject, device: torch.device, batch: int, n_threads: int) -> Iterator[Call]:
    """Within the block, a call that predicts the next batch of images and leaves the logits on the device."""
    batches = batches_of(subject.images, batch, device)
    following = itertools.cycle(batches).__next__
    predict: Callable[[Tensor], Tensor] = subject.predictor.logits
    with contextlib.ExitStack() as opened:
        if isinstance(subject.predictor, Preparing):
            predict = opened.enter_context(subject.predictor.prepared(batches[0], n_threads=n_threads))

        def call() -> object:
            return predict(following())

        yield call


def images_needed(images: Tensor, batch: int) -> Tensor:
    """The first of uint8 (N, C, H, W) that are timed on, at least one batch where there are as many."""
    n_batches = min(BATCHES, IMAGE_BYTES // (batch * images[0].numel()))
    return images[: batch * max(1, n_batches)]


def batches_of(images: Tensor, batch: int, device: torch.device) -> list[Tensor]:
    """Different batches of uint8 (batch, C, H, W) on `device`, the images repeated where they are too few for one."""
    images = images_needed(images, batch)
    if len(images) < batch:
        images = images.repeat(-(-batch // len(images)), 1, 1, 1)
    return [images[start : start + batch].to(device) for start in range(0, len(images) - batch + 1, batch)]


def over_processes(processes: Sequence[BatchTimes]) -> BatchTimes:
    """One measurement in each of several processes as one: geometric means with t intervals over the processes.

    Those are of new processes on this machine, where the intervals of one process are of that process alone.
    """
    first = processes[0]
    n_models = range(len(first.models))
    confidence = figures.pairwise_confidence(len(n_models))

    def ratio(a: int, b: int) -> Ratio:
        logs = np.log([one.ratio(a, b).times.value for one in processes])
        return Ratio(a=a, b=b, times=figures.geometric_mean(logs, confidence))

    return BatchTimes(
        batch=first.batch,
        models=tuple(_model_over_processes([one.models[index] for one in processes]) for index in n_models),
        ratios=tuple(ratio(a, b) for a, b in itertools.combinations(n_models, 2)),
        n_rounds=sum(one.n_rounds for one in processes),
        n_clean_rounds=sum(one.n_clean_rounds for one in processes),
        busy=any(one.busy for one in processes),
        seconds=sum(one.seconds for one in processes),
    )


def _model_over_processes(processes: Sequence[ModelTimes]) -> ModelTimes:
    def mean(values: Sequence[float]) -> Measured:
        return figures.geometric_mean(np.log(values))

    p99 = [one.p99 for one in processes if one.p99 is not None]
    return ModelTimes(
        p50=mean([one.p50.value for one in processes]),
        p90=mean([one.p90.value for one in processes]),
        p95=mean([one.p95.value for one in processes]),
        p99=mean(p99).value if len(p99) == len(processes) else None,
        images_per_second=mean([one.images_per_second for one in processes]).value,
        first_call_ms=mean([one.first_call_ms for one in processes]).value,
        n_calls=sum(one.n_calls for one in processes),
        settled=all(one.settled for one in processes),
    )


def _model_times(rounds: Rounds, index: int, *, warm: WarmUp, batch: int) -> ModelTimes:
    blocks = [one.blocks[index] for one in rounds.used]
    calls = [np.concatenate([block.calls for block in pair]) * 1e3 for pair in blocks]
    n_calls = sum(map(len, calls))
    p50, p90, p95 = figures.quantiles(calls, (0.5, 0.9, 0.95))
    enough = n_calls >= figures.P99_CALLS and not rounds.busy
    queued = np.median([np.mean([block.seconds_per_call for block in pair]) for pair in blocks])
    return ModelTimes(
        p50=p50,
        p90=p90,
        p95=p95,
        p99=float(np.quantile(np.concatenate(calls), 0.99)) if enough else None,
        images_per_second=batch / float(queued),
        first_call_ms=warm.first_seconds * 1e3,
        n_calls=n_calls,
        settled=warm.settled,
    )
