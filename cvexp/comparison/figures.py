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


@dataclass(frozen=True, kw_only=True, slots=True)
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
    Figure(key=Metric.VAL_ACCURACY, names=("val_accuracy",), header="val acc", form=".2%"),
    Figure(key=Metric.TEST_ACCURACY, names=("accuracy", "test_accuracy"), header="test acc", form=".2%"),
    Figure(key=Metric.TEST_LOSS, names=("loss", "test_loss"), header="test loss", form=".4f"),
    Figure(key=Metric.VAL_LOSS, names=("val_loss",), header="val loss", form=".4f"),
    Figure(key=Metric.TRAIN_ACCURACY, names=("train_accuracy",), header="train acc", form=".2%"),
    Figure(key=Metric.TRAIN_LOSS, names=("train_loss",), header="train loss", form=".4f"),
    Figure(
        key=Metric.TRAIN_SECONDS,
        names=("train_seconds", "seconds"),
        header="train s",
        form=",.1f",
        unit="s",
        conditions=_TRAINING,
    ),
    Figure(
        key=Metric.EPOCH_SECONDS_MEDIAN,
        names=("epoch_seconds_median", "epoch_seconds"),
        header="epoch s",
        form=",.2f",
        unit="s",
        conditions=_TRAINING,
    ),
    Figure(
        key=Metric.SECONDS_TO_ACCURACY,
        names=("to_accuracy", "seconds_to_accuracy"),
        header="s to target",
        form=",.1f",
        unit="s",
        conditions=_TRAINING,
    ),
    Figure(
        key=Metric.IMAGES_PER_SECOND,
        names=("images_per_second", "speed"),
        header="images/s",
        form=",.0f",
        unit="images/s",
        conditions=_TRAINING,
    ),
    Figure(
        key=Metric.LATENCY_MS,
        names=("latency_ms", "latency"),
        header="latency ms",
        form=",.3f",
        unit="ms",
        conditions=_BENCH,
    ),
    Figure(
        key=Metric.LATENCY_P90_MS, names=("latency_p90_ms",), header="p90 ms", form=",.3f", unit="ms", conditions=_BENCH
    ),
    Figure(
        key=Metric.FIRST_CALL_MS,
        names=("first_call_ms",),
        header="first call ms",
        form=",.2f",
        unit="ms",
        conditions=_BENCH,
    ),
    Figure(
        key=Metric.BENCH_IMAGES_PER_SECOND,
        names=("throughput", "bench_images_per_second"),
        header="inference images/s",
        form=",.0f",
        unit="images/s",
        conditions=_BENCH,
    ),
    Figure(key=Metric.PARAMETERS, names=("parameters", "params"), header="params", form=",.0f", unit="parameters"),
    Figure(key=Metric.BYTES, names=("bytes", "size"), header="bytes", form=",.0f", unit="bytes"),
    Figure(
        key=Metric.PROCESS_PEAK_BYTES,
        names=("process_peak_bytes",),
        header="peak bytes",
        form=",.0f",
        unit="bytes",
        conditions=_TRAINING,
    ),
    Figure(
        key=Metric.DEVICE_PEAK_BYTES,
        names=("device_peak_bytes",),
        header="device peak bytes",
        form=",.0f",
        unit="bytes",
        conditions=_TRAINING,
    ),
)

_BY_NAME = {name: figure for figure in FIGURES for name in (*figure.names, figure.key)}


def figure_of(key: str) -> Figure:
    """The figure with a metric's key, or a plain one for a metric that cvexp does not know."""
    if key in _BY_NAME:
        return _BY_NAME[key]
    form = ".2%" if key.endswith("accuracy") and key != Metric.SECONDS_TO_ACCURACY else ",.5g"
    timed = key.startswith(("time/", "throughput/", "memory/"))
    return Figure(
        key=key,
        names=(key,),
        header=key,
        form=form,
        conditions=_TRAINING if timed else _BENCH if key.startswith("bench/") else "",
    )


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
