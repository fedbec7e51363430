"""The figures that runs are compared by: their names, units and texts, and the conditions under which they rank."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, nearest
from cvexp.results import Metric, higher_is_better

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cvexp.stats import Interval

MISSING = "-"
FINE_POINTS = 0.095
"""Half-widths below so many percentage points are written with two decimals."""

EXTRA_DECIMALS = 3
TWO_DIGITS = 10


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a run.

    Attributes:
        key: The metric's key in the store.
        names: What it is called in flags, the first one in messages.
        header: Of its column.
        form: Of a single value, for `format`.
        unit: Written behind a value in a sentence.
        conditions: What has to be equal for it to be ranked: `training`, `bench`, or nothing.
    """

    key: str
    names: tuple[str, ...]
    header: str
    form: str = ",.4g"
    unit: str = ""
    conditions: str = ""

    @property
    def is_fraction(self) -> bool:
        """Whether it lies in [0, 1] and is written as percent."""
        return self.form.endswith("%")

    @property
    def on_images(self) -> bool:
        """Whether it was measured on test or validation images."""
        return self.key.startswith(("test/", "val/"))

    def text(self, value: float) -> str:
        """A single run's value."""
        return format(value, self.form) if math.isfinite(value) else str(value)

    def spread(self, interval: Interval) -> str:
        """A group's mean, and the half-width of its interval where it has one.

        Fractions are written in percent, without the sign: `88.4 ± 0.3`.
        """
        if interval.n == 1:
            return self.text(interval.mean)
        scale = 100.0 if self.is_fraction else 1.0
        half = None if interval.high is None else scale * (interval.high - interval.mean)
        if half is not None and not math.isfinite(half):
            half = None
        if not self.conditions and not self.on_images and half == 0:  # a size is exact
            return self.text(interval.mean)
        form = self._form_of(interval.mean, half)
        mean = format(scale * interval.mean, form)
        return mean if half is None else f"{mean} ± {format(half, form)}"

    def _form_of(self, mean: float, half: float | None) -> str:
        """With enough decimals that a half-width above 0 does not read as 0, and that the mean has two digits."""
        if self.is_fraction:
            return ".2f" if half is not None and half < FINE_POINTS else ".1f"
        if not half or not self.form.endswith("f"):
            return self.form
        least = int(self.form.strip(",.f"))
        enough = (n for n in range(least, least + EXTRA_DECIMALS) if round(half, n) and abs(mean) * 10**n >= TWO_DIGITS)
        return f",.{next(enough, least + EXTRA_DECIMALS)}f"

    def said(self, value: float) -> str:
        """A value with its unit, for a sentence: `0.158 ms`."""
        return self.text(value) if self.is_fraction else f"{self.text(value)}{self.unit and ' ' + self.unit}"


_TRAINING, _BENCH = "training", "bench"

FIGURES = (
    Figure(Metric.VAL_ACCURACY, ("val_accuracy",), "val acc", ".2%"),
    Figure(Metric.TEST_ACCURACY, ("accuracy", "test_accuracy"), "test acc", ".2%"),
    Figure(Metric.TEST_BALANCED_ACCURACY, ("balanced_accuracy", "test_balanced_accuracy"), "balanced acc", ".2%"),
    Figure(Metric.TEST_MACRO_F1, ("macro_f1", "test_macro_f1"), "macro F1", ".4f"),
    Figure(Metric.VAL_BALANCED_ACCURACY, ("val_balanced_accuracy",), "val balanced acc", ".2%"),
    Figure(Metric.VAL_MACRO_F1, ("val_macro_f1",), "val macro F1", ".4f"),
    Figure(Metric.TEST_LOSS, ("loss", "test_loss"), "test loss", ".4f"),
    Figure(Metric.VAL_LOSS, ("val_loss",), "val loss", ".4f"),
    Figure(Metric.TRAIN_ACCURACY, ("train_accuracy",), "train acc", ".2%"),
    Figure(Metric.TRAIN_LOSS, ("train_loss",), "train loss", ".4f"),
    Figure(Metric.TRAIN_SECONDS, ("train_seconds", "seconds"), "train s", ",.1f", "s", _TRAINING),
    Figure(Metric.EPOCH_SECONDS_MEDIAN, ("epoch_seconds_median", "epoch_seconds"), "epoch s", ",.2f", "s", _TRAINING),
    Figure(Metric.SECONDS_TO_ACCURACY, ("to_accuracy", "seconds_to_accuracy"), "s to target", ",.1f", "s", _TRAINING),
    Figure(Metric.IMAGES_PER_SECOND, ("images_per_second", "speed"), "images/s", ",.0f", "images/s", _TRAINING),
    Figure(Metric.LATENCY_MS, ("latency_ms", "latency"), "latency ms", ",.3f", "ms", _BENCH),
    Figure(Metric.LATENCY_P90_MS, ("latency_p90_ms",), "p90 ms", ",.3f", "ms", _BENCH),
    Figure(Metric.FIRST_CALL_MS, ("first_call_ms",), "first call ms", ",.2f", "ms", _BENCH),
    Figure(
        Metric.BENCH_IMAGES_PER_SECOND,
        ("throughput", "bench_images_per_second"),
        "inference images/s",
        ",.0f",
        "images/s",
        _BENCH,
    ),
    Figure(Metric.PARAMETERS, ("parameters", "params"), "params", ",.0f", "parameters"),
    Figure(Metric.BYTES, ("bytes", "size"), "bytes", ",.0f", "bytes"),
    Figure(Metric.PROCESS_PEAK_BYTES, ("process_peak_bytes",), "peak bytes", ",.0f", "bytes", _TRAINING),
    Figure(Metric.DEVICE_PEAK_BYTES, ("device_peak_bytes",), "device peak bytes", ",.0f", "bytes", _TRAINING),
)

_BY_NAME = {name: figure for figure in FIGURES for name in (*figure.names, figure.key)}


def key_in_words(key: str) -> str:
    """A metric's key as a sentence has it, such as `test balanced accuracy`."""
    return key.replace("/", " ").replace("_", " ")


def figure_of(key: str) -> Figure:
    """The figure with a metric's key, or a plain one for a metric that cvexp does not know."""
    if key in _BY_NAME:
        return _BY_NAME[key]
    form = ".2%" if key.endswith("accuracy") and key != Metric.SECONDS_TO_ACCURACY else ",.5g"
    timed = key.startswith(("time/", "throughput/", "memory/"))
    conditions = _TRAINING if timed else _BENCH if key.startswith("bench/") else ""
    return Figure(key, (key,), key, form, conditions=conditions)


def find_figure(name: str, known: Iterable[str], *, what: str) -> Figure:
    """The figure that a user means by `name`: one of FIGURES, `-` and `_` alike, or a key among `known`.

    Raises:
        ConfigError: There is none; `what` names the flag, the hint the nearest name.
    """
    plain = name.strip().replace("-", "_")
    if plain in _BY_NAME:
        return _BY_NAME[plain]
    keys = sorted(known)
    if name.strip() in keys:
        return figure_of(name.strip())
    names = [figure.names[0] for figure in FIGURES]
    others = [key for key in keys if key not in _BY_NAME]
    raise ConfigError(f"{what}: unknown metric {name.strip()!r}", nearest(plain, [*names, *others]))


def better(figure: Figure) -> int:
    """1 where a larger value is better, -1 where a smaller one is."""
    return 1 if higher_is_better(figure.key) else -1
