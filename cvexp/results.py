"""What comes out of cvexp: frozen values over numbers and numpy arrays, no torch; and every metric key."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from cvexp.config import RunConfig

SplitName = Literal["train", "val", "test"]
HeldOutName = Literal["val", "test"]


class Metric(StrEnum):
    """The metric keys of a run: accuracies as fractions, losses in nats per image, times in seconds.

    The part before the slash groups charts in MLflow.
    """

    TRAIN_LOSS = "train/loss"
    TRAIN_ACCURACY = "train/accuracy"
    STEP_LOSS = "step/train_loss"
    LEARNING_RATE = "optimizer/lr"
    VAL_LOSS = "val/loss"
    VAL_ACCURACY = "val/accuracy"
    VAL_BALANCED_ACCURACY = "val/balanced_accuracy"
    VAL_MACRO_F1 = "val/macro_f1"
    TEST_LOSS = "test/loss"
    TEST_ACCURACY = "test/accuracy"
    TEST_BALANCED_ACCURACY = "test/balanced_accuracy"
    TEST_MACRO_F1 = "test/macro_f1"
    EPOCH_SECONDS = "time/epoch_seconds"
    SETUP_SECONDS = "time/setup_seconds"
    FIRST_STEP_SECONDS = "time/first_step_seconds"
    TRAIN_SECONDS = "time/train_seconds"
    EVALUATE_SECONDS = "time/evaluate_seconds"
    TRACKING_SECONDS = "time/tracking_seconds"
    TOTAL_SECONDS = "time/total_seconds"
    EPOCH_SECONDS_MEDIAN = "time/epoch_seconds_median"
    SECONDS_TO_ACCURACY = "time/to_accuracy"
    WAITED_SHARE = "time/waited_share"
    IMAGES_PER_SECOND = "throughput/images_per_second"
    PROCESS_PEAK_BYTES = "memory/process_peak_bytes"
    DEVICE_PEAK_BYTES = "memory/device_peak_bytes"
    LATENCY_MS = "bench/latency_ms"
    LATENCY_P90_MS = "bench/latency_p90_ms"
    BENCH_IMAGES_PER_SECOND = "bench/images_per_second"
    FIRST_CALL_MS = "bench/first_call_ms"
    PARAMETERS = "model/parameters"
    TRAINABLE_PARAMETERS = "model/trainable_parameters"
    BYTES = "model/bytes"


IMBALANCE = 1.5
"""A split is imbalanced where its largest class has so many times the images of its smallest."""


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of `metric` is the better one: accuracies, F1 and throughputs, not losses or times."""
    return metric.endswith(("accuracy", "macro_f1", "images_per_second")) and metric != Metric.SECONDS_TO_ACCURACY


def rank(metrics: Mapping[str, float], metric: str) -> tuple[int, float]:
    """A sort key by which the best value of `metric` comes first, then NaN, then no value at all."""
    value = metrics.get(metric)
    if value is None or math.isnan(value):
        return (2 if value is None else 1), 0.0
    return 0, -value if higher_is_better(metric) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitMetrics:
    """Figures over the images of a split.

    Attributes:
        loss: Mean cross-entropy in nats per image.
        accuracy: Share of the images that are right, in [0, 1].
        balanced_accuracy: Mean recall of the classes, in [0, 1]: each class counts the same, however many images it
            has. None where classes were not counted, as in training, and for epochs of early versions.
        macro_f1: Mean F1 of the classes, in [0, 1]; None likewise.
    """

    loss: float
    accuracy: float
    n_images: int
    balanced_accuracy: float | None = None
    macro_f1: float | None = None

    def keyed(self, split: SplitName) -> dict[str, float]:
        """The figures under their metric keys, those that there are."""
        names = ("loss", "accuracy", "balanced_accuracy", "macro_f1")
        found = {f"{split}/{name}": getattr(self, name) for name in names}
        return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True, kw_only=True, slots=True)
class ClassMetrics:
    """One class's precision, recall and F1 in [0, 1], and its support in images."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """One pass over a split.

    Attributes:
        metrics: Over all images.
        per_class: In label order.
        confusion: int64 (K, K), images counted by true class (row) and predicted class (column).
        predictions: int64 (N,), the top class of every image, in the split's order.
    """

    metrics: SplitMetrics
    per_class: tuple[ClassMetrics, ...]
    confusion: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]

    @property
    def is_imbalanced(self) -> bool:
        """See `is_imbalanced`."""
        return is_imbalanced(self.per_class)


def is_imbalanced(per_class: Sequence[ClassMetrics]) -> bool:
    """Whether some class has half as many images again as another, so that accuracy says most of the large ones."""
    sizes = [one.support for one in per_class]
    return max(sizes) >= IMBALANCE * min(sizes)


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochTiming:
    """One epoch's wall-clock seconds in parts, without the tracker's.

    `cpu_seconds` are those of the process while it trained, over all threads, and `waited_seconds` how long its threads
    waited for a core meanwhile (see `cvexp.contention`); None where that is not known, as for epochs of early versions.
    """

    train_seconds: float
    evaluate_seconds: float
    first_step_seconds: float
    cpu_seconds: float | None = None
    waited_seconds: float | None = None

    @property
    def seconds(self) -> float:
        """Training and evaluation."""
        return self.train_seconds + self.evaluate_seconds


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochMetrics:
    """One epoch, and one pass over the held-out split with its final weights.

    Attributes:
        epoch: Counted from 1.
        train: Over the epoch's training images, each measured with the weights of its own step.
        step_losses: float32 (steps,), every step's mean loss in nats per image.
        held_out: Over `held_out_name`: `val` where there is a validation part, else `test`, for watching only.
        lr: The learning rate of its last step; None where that is the same for all steps.
    """

    epoch: int
    train: SplitMetrics
    step_losses: npt.NDArray[np.float32]
    held_out: Evaluation
    held_out_name: HeldOutName
    timing: EpochTiming
    lr: float | None = None

    def keyed(self) -> dict[str, float]:
        """Every figure that is logged for this epoch, under its metric key."""
        return {
            **self.train.keyed("train"),
            **self.held_out.metrics.keyed(self.held_out_name),
            **({} if self.lr is None else {Metric.LEARNING_RATE.value: self.lr}),
            Metric.EPOCH_SECONDS.value: self.timing.seconds,
            Metric.IMAGES_PER_SECOND.value: self.train.n_images / self.timing.train_seconds,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """A whole run's wall-clock seconds in parts. `train` is training steps only, summed over epochs."""

    setup_seconds: float
    first_step_seconds: float
    train_seconds: float
    evaluate_seconds: float
    tracking_seconds: float
    total_seconds: float

    def keyed(self) -> dict[str, float]:
        """The seconds under their metric keys."""
        return {f"time/{name}": seconds for name, seconds in asdict(self).items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSize:
    """How large a model is: parameters, those of them that are trained, and the bytes of parameters and buffers."""

    parameters: int
    trainable_parameters: int
    bytes: int

    def keyed(self) -> dict[str, float]:
        """The numbers under their metric keys; those that are trained only where others are frozen."""
        sizes = {Metric.PARAMETERS.value: float(self.parameters), Metric.BYTES.value: float(self.bytes)}
        if self.trainable_parameters != self.parameters:
            sizes[Metric.TRAINABLE_PARAMETERS.value] = float(self.trainable_parameters)
        return sizes


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """A finished training run; `evaluation` is the test split's, None where that was left alone.

    `figures` are of the whole run, by metric key: those of `cvexp.training.figures`, as far as there are any. `busy`
    says in one line why its times are not to be ranked, `stopped` why there are fewer epochs than were asked for, and
    `unlogged` why it has no logged model; each is empty otherwise. `best_epoch` is the one whose weights were tested
    and stored, where the best ones were kept. `undelivered` counts records that the tracking store does not know yet,
    until `cvexp sync` delivers them; `trouble` says why, in one line.
    """

    run_id: str
    run_name: str
    experiment_id: str
    tracking_uri: str
    status: str
    config: RunConfig
    device: str
    device_name: str
    class_names: tuple[str, ...]
    history: tuple[EpochMetrics, ...]
    evaluation: Evaluation | None
    timing: Timing
    size: ModelSize
    artifacts_uri: str
    figures: Mapping[str, float] = field(default_factory=dict)
    busy: str = ""
    stopped: str = ""
    unlogged: str = ""
    best_epoch: int | None = None
    undelivered: int = 0
    trouble: str = ""

    def chosen(self) -> dict[str, float]:
        """The figures of the weights that were stored, by metric key: the test split's, and those of a best epoch."""
        best = {} if self.best_epoch is None else self.history[self.best_epoch - 1].held_out.metrics.keyed("val")
        tested = {} if self.evaluation is None else self.evaluation.metrics.keyed("test")
        return {**best, **tested}

    def metrics(self) -> dict[str, float]:
        """The last value of every metric of the run, keyed as in MLflow."""
        return {**self.history[-1].keyed(), **self.chosen(), **self.timing.keyed(), **self.size.keyed(), **self.figures}
