"""Train a run's configuration again, without a run of its own, and say whether the figures are those of the run."""

from __future__ import annotations

import itertools
import math
import re
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp import events
from cvexp.errors import RunError
from cvexp.results import Metric
from cvexp.runs import RECIPE
from cvexp.training.out_of_memory import memory_explained
from cvexp.training.session import ONE_AT_A_TIME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.engine.fit import Progress
    from cvexp.events import Observer
    from cvexp.results import EpochMetrics
    from cvexp.runs import RunSummary
    from cvexp.tracking.histories import Point
    from cvexp.tracking.store import Store
    from cvexp.training.session import Prepared

CONFIDENCE = 0.99
MIN_REPEATS = 3
ASSUMED_SEED_SD = 0.009
"""Standard deviation of test accuracy over seeds where a recipe has fewer repeats: the largest that was measured on
Fashion-MNIST with linear and mlp, over 16 to 30 seeds."""

REFRESH_SECONDS = 0.5
FIGURES = tuple(f"{split}/{name}" for split in ("train", "val", "test") for name in ("loss", "accuracy"))

Figures = dict[tuple[str, int], float]


@dataclass(frozen=True, kw_only=True, slots=True)
class Figure:
    """A metric after an epoch, as the run recorded it and as it came out now."""

    metric: str
    epoch: int
    recorded: float
    now: float

    @property
    def equal(self) -> bool:
        """Whether both are the same number, or both none."""
        return self.recorded == self.now or (math.isnan(self.recorded) and math.isnan(self.now))


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedNoise:
    """How far the test accuracies of two trainings of one recipe may be apart, as a fraction, at 99% confidence.

    `n` is the number of repeats it was measured on, or 0 where it is assumed.
    """

    allowance: float
    n: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """What a second training gave.

    Attributes:
        figures: Losses in nats per image and accuracies in [0, 1], by epoch.
        same_weights: Whether the final weights have the digest that the run recorded; None where it recorded none.
        exact: Whether the figures have to agree bit for bit: code, versions, device, threads and data are the run's.
        noise: What is allowed where they have not.
    """

    figures: tuple[Figure, ...]
    same_weights: bool | None
    exact: bool
    noise: SeedNoise | None

    @property
    def bit_for_bit(self) -> bool:
        """Whether every figure and the weights are the run's."""
        return all(figure.equal for figure in self.figures) and self.same_weights is not False

    @property
    def test_accuracy(self) -> Figure:
        """The last one."""
        return next(one for one in reversed(self.figures) if one.metric == Metric.TEST_ACCURACY)

    @property
    def agrees(self) -> bool:
        """Whether the figures are as close as they have to be."""
        if self.bit_for_bit or self.noise is None:
            return self.bit_for_bit
        return abs(self.test_accuracy.now - self.test_accuracy.recorded) <= self.noise.allowance


def repeated(
    store: Store, run: RunSummary, prepared: Prepared, *, exact: bool, observer: Observer | None = None
) -> Check:
    """Train what was prepared, and compare with what `run` recorded; nothing is stored.

    Raises:
        RunError: The run recorded no figures.
        TrainingError: The loss is not finite, or there is no memory left.
    """
    from cvexp.tracking.histories import history

    points = history(store.settings, run)
    recorded = {(key, step): value for key in FIGURES if key in points for step, value in _last(points[key]).items()}
    n_epochs = max((step for key, step in recorded if key == Metric.TRAIN_LOSS), default=0)  # it may have stopped early
    now, weights = _trained(prepared, n_epochs, observer)
    both = sorted(recorded.keys() & now.keys(), key=lambda one: (one[1], FIGURES.index(one[0])))
    figures = tuple(
        Figure(metric=key, epoch=step, recorded=recorded[key, step], now=now[key, step]) for key, step in both
    )
    if not any(figure.metric == Metric.TEST_ACCURACY for figure in figures):
        raise RunError(
            f"run {run.name} recorded no figures to compare with (status {run.status})", "name a finished run"
        )
    digest = run.tags.get("cvexp.weights_sha256")
    return Check(
        figures=figures,
        same_weights=None if digest is None else digest == weights,
        exact=exact,
        noise=None if exact else seed_noise(_repeats(store, run), n_test=len(prepared.dataset.test)),
    )


def _last(points: Sequence[Point]) -> dict[int, float]:
    """The value logged last at each step."""
    return {point.step: point.value for point in sorted(points, key=lambda point: point.at)}


def _trained(prepared: Prepared, n_epochs: int, observer: Observer | None) -> tuple[Figures, str]:
    """The figures of `n_epochs` epochs from the first step on and of their test, and the digest of the weights."""
    from cvexp.device import threads
    from cvexp.inference.evaluate import evaluate

    shown_at = 0.0

    def show(progress: Progress) -> None:
        nonlocal shown_at
        if observer is not None and time.monotonic() - shown_at >= REFRESH_SECONDS:
            shown_at = time.monotonic()
            observer(events.StepsRun(epoch=progress.epoch, step=progress.step, n_steps=progress.n_steps))

    found: Figures = {}
    with ONE_AT_A_TIME, threads(prepared.layout.threads), memory_explained():
        fit = prepared.fit(show)
        history: dict[int, EpochMetrics] = {}
        for epoch in itertools.islice(fit, n_epochs):
            history[epoch.epoch] = epoch
            found |= {(key, epoch.epoch): value for key, value in epoch.keyed().items() if key in FIGURES}
            if observer is not None:
                observer(events.EpochEnded(metrics=epoch, last=epoch.epoch == n_epochs))
        best_epoch = fit.finish()
        if best_epoch is not None:
            found |= {(key, n_epochs): x for key, x in history[best_epoch].held_out.metrics.keyed("val").items()}
        dataset = prepared.dataset
        if dataset.val is not None or prepared.cached is not None:
            evaluation = evaluate(
                prepared.model,
                dataset.test,
                transform=dataset.transform,
                class_names=dataset.class_names,
                n_threads=prepared.layout.evaluation_threads,
            )
            found |= {(key, n_epochs): value for key, value in evaluation.metrics.keyed("test").items()}
        with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
            spec = prepared.save_weights(Path(scratch))
    return found, spec.weights_sha256


def _repeats(store: Store, run: RunSummary) -> list[float]:
    """Test accuracies of the finished runs of the same recipe on the same test images, the run's own among them."""
    from cvexp.tracking.queries import search

    if not re.fullmatch(r"[0-9a-f]{8,64}", run.recipe):
        return []
    where = f"attributes.status = 'FINISHED' and tags.`{RECIPE}` = '{run.recipe}'"
    runs = search(store, where=where, everywhere=True)
    accuracies = [one.metrics.get(Metric.TEST_ACCURACY, math.nan) for one in runs if one.test_set == run.test_set]
    return [accuracy for accuracy in accuracies if math.isfinite(accuracy)]


def seed_noise(accuracies: Sequence[float], *, n_test: int) -> SeedNoise:
    """How far two trainings of one recipe may be apart.

    From at least `MIN_REPEATS` repeats: Student's t times their standard deviation times the square root of 2, as for
    the difference of two draws from one normal distribution. From fewer: the same with `ASSUMED_SEED_SD` and a
    binomial standard deviation of the accuracy over `n_test` images.
    """
    from statistics import mean, stdev

    from scipy import stats

    quantile = 0.5 + CONFIDENCE / 2
    n = len(accuracies)
    if n >= MIN_REPEATS:
        return SeedNoise(allowance=float(stats.t.ppf(quantile, n - 1)) * stdev(accuracies) * math.sqrt(2), n=n)
    accuracy = mean(accuracies) if accuracies else 0.5
    spread = math.sqrt(ASSUMED_SEED_SD**2 + accuracy * (1 - accuracy) / n_test)
    return SeedNoise(allowance=float(stats.norm.ppf(quantile)) * spread * math.sqrt(2), n=0)
