"""What comes out of cvexp: frozen values over numbers and numpy arrays, no torch.

Metric keys are defined here and nowhere else. A key's part before the slash groups its charts in MLflow.
"""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    import numpy as np
    import numpy.typing as npt

    from cvexp.config import RunConfig

SplitName = Literal["train", "val", "test"]
HeldOutName = Literal["val", "test"]

NAME_DIGITS = 6
"""Digits of a run's id in the name of a run that the user did not name."""

ID_DIGITS = 12
"""Digits of a run's id that are enough to name it in a command."""


class Metric(StrEnum):
    """The metric keys of a run. Accuracies are fractions, losses nats per image, times seconds."""

    TRAIN_LOSS = "train/loss"
    TRAIN_ACCURACY = "train/accuracy"
    STEP_LOSS = "step/train_loss"
    VAL_LOSS = "val/loss"
    VAL_ACCURACY = "val/accuracy"
    TEST_LOSS = "test/loss"
    TEST_ACCURACY = "test/accuracy"
    EPOCH_SECONDS = "time/epoch_seconds"
    SETUP_SECONDS = "time/setup_seconds"
    FIRST_STEP_SECONDS = "time/first_step_seconds"
    TRAIN_SECONDS = "time/train_seconds"
    EVALUATE_SECONDS = "time/evaluate_seconds"
    TRACKING_SECONDS = "time/tracking_seconds"
    TOTAL_SECONDS = "time/total_seconds"
    IMAGES_PER_SECOND = "throughput/images_per_second"
    PARAMETERS = "model/parameters"
    BYTES = "model/bytes"


def higher_is_better(metric: str) -> bool:
    """Whether a larger value of `metric` is the better one: accuracies and throughputs, not losses or times."""
    return metric.endswith("accuracy") or metric.startswith("throughput/")


def rank(metrics: Mapping[str, float], metric: str) -> tuple[int, float]:
    """A sort key by which the best value of `metric` comes first, then NaN, then no value at all."""
    value = metrics.get(metric)
    if value is None or math.isnan(value):
        return (2 if value is None else 1), 0.0
    return 0, -value if higher_is_better(metric) else value


@dataclass(frozen=True, kw_only=True, slots=True)
class SplitMetrics:
    """How well a model did on one split, every image counting once.

    Attributes:
        loss: Mean cross-entropy, nats per image.
        accuracy: Fraction of images whose top class is the true one, in [0, 1].
        n_images: How many images that was.
    """

    loss: float
    accuracy: float
    n_images: int

    def keyed(self, split: SplitName) -> dict[str, float]:
        """The figures under their metric keys."""
        return {f"{split}/loss": self.loss, f"{split}/accuracy": self.accuracy}


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
        metrics: Loss and accuracy.
        per_class: Figures per class, in label order.
        confusion: int64 (K, K), images counted by true class (row) and predicted class (column).
        predictions: int64 (N,), the top class of every image, in the split's order.
    """

    metrics: SplitMetrics
    per_class: tuple[ClassMetrics, ...]
    confusion: npt.NDArray[np.int64]
    predictions: npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochTiming:
    """Where one epoch's wall-clock seconds went; the tracker's are in neither."""

    train_seconds: float
    evaluate_seconds: float
    first_step_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochMetrics:
    """One epoch: training figures gathered while the weights moved, then one pass over the held-out split.

    Attributes:
        epoch: Counted from 1.
        train: Over the epoch's training images, each measured with the weights of its own step.
        step_losses: float32 (steps,), every step's mean loss in nats per image.
        held_out: Over the held-out split with the epoch's final weights.
        held_out_name: `val` where a validation part was cut, else `test`, which is for watching only.
        timing: Seconds.
    """

    epoch: int
    train: SplitMetrics
    step_losses: npt.NDArray[np.float32]
    held_out: Evaluation
    held_out_name: HeldOutName
    timing: EpochTiming

    def keyed(self) -> dict[str, float]:
        """Everything that is logged for this epoch, under its metric keys."""
        return {
            **self.train.keyed("train"),
            **self.held_out.metrics.keyed(self.held_out_name),
            Metric.EPOCH_SECONDS.value: self.timing.train_seconds + self.timing.evaluate_seconds,
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
class Conditions:
    """Everything besides the model that decides how long training takes, or how many images it saw.

    What cvexp decides by the model itself, such as its memory format, is no condition: `threads` is the number that
    was asked for, or the name of the rule with the most it could take.

    Times of two runs may be ranked only when all of this is equal.
    """

    device: str
    torch: str
    precision: str
    threads: str
    batch_size: int
    epochs: int
    dataset: str
    train_images: int
    split: str
    step_runner: str

    @property
    def key(self) -> str:
        """Ten hexadecimal digits that are equal exactly when the conditions are."""
        return _digest(asdict(self))

    def to_json(self) -> str:
        """The conditions as canonical JSON, so that two runs' differences can be named."""
        return json.dumps(asdict(self), sort_keys=True, allow_nan=False)


def _digest(conditions: Mapping[str, object]) -> str:
    return hashlib.sha256(json.dumps(conditions, sort_keys=True).encode()).hexdigest()[:10]


def train_split(*, val_split: str, limit: str, split_seed: str, train_images: int) -> str:
    """Which of the published training images a run was trained on, in words.

    The seed is named only where it decides something: where a validation part was cut off or `limit` left images out.

    Args:
        val_split: The setting as text.
        limit: Likewise; `none` for no limit.
        split_seed: Likewise.
        train_images: How many there were in the end.
    """
    chosen = [f"val {val_split}"] if float(val_split) else []
    chosen += [f"limit {limit}"] if limit == str(train_images) else []
    return ", ".join([*chosen, f"seed {split_seed}"]) if chosen else "none"


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelSize:
    """How large a model is: parameters counted, and the bytes of its parameters and buffers in memory."""

    parameters: int
    bytes: int

    def keyed(self) -> dict[str, float]:
        """The figures under their metric keys."""
        return {Metric.PARAMETERS.value: float(self.parameters), Metric.BYTES.value: float(self.bytes)}


def shortest_selector(run_id: str, name: str, *, unique: bool = False) -> str:
    """What to type for a run: its name where that means this run alone, else a part of its id.

    A name means one run where it holds digits of the id, or where the caller knows it to be `unique`. One that reads
    as a flag, a selector or an exported file means no run.
    """
    misread = name[:1] in "@-" or name.endswith((".pt", ".safetensors"))
    if name.endswith(f"-{run_id[:NAME_DIGITS]}") or (unique and not misread):
        return name
    return run_id[:ID_DIGITS]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """A finished training run.

    Attributes:
        undelivered: How many records the tracking store does not know yet; `cvexp sync` delivers them.
        trouble: Why, in one line.
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
    evaluation: Evaluation
    timing: Timing
    size: ModelSize
    artifacts_uri: str
    undelivered: int = 0
    trouble: str = ""

    def metrics(self) -> dict[str, float]:
        """The last value of every metric of the run, keyed as in MLflow."""
        return {
            **self.history[-1].keyed(),
            **self.evaluation.metrics.keyed("test"),
            **self.timing.keyed(),
            **self.size.keyed(),
        }


EFFECTIVE = {"epochs": "cvexp.epochs", "allow_nan": "cvexp.allow_nan"}
"""Settings that may change when a run is resumed, and the tag that then holds the value in force.

MLflow's parameters cannot be changed.
"""

RECIPE = "cvexp.recipe"
"""The tag with the digest of a run's configuration without its seed; see config.recipe."""

TEST_SET = "cvexp.test_set"
"""The tag that identifies a run's test images; see `test_set`."""


def test_set(dataset_digest: str, *, limit: object, split_seed: object) -> str:
    """What identifies test images: the dataset's content and, where `limit` left images out, which ones it kept."""
    return dataset_digest if limit in (None, "none") else f"{dataset_digest},limit={limit},split_seed={split_seed}"


@dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """A run as the store remembers it; metrics are last values.

    Attributes:
        params: MLflow's parameters: what the run was asked to do first. See `settings` for what it did.
    """

    run_id: str
    name: str
    status: str
    experiment_id: str
    artifacts_uri: str
    started_at: datetime
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def settings(self) -> dict[str, str]:
        """The settings in force in the end: the parameters, and what was changed when the run was resumed."""
        changed = {name: self.tags[tag] for name, tag in EFFECTIVE.items() if tag in self.tags and name in self.params}
        return {**self.params, **changed}

    @property
    def recipe(self) -> str:
        """Equal for runs that differ in nothing but their seed; empty for runs from before it was recorded."""
        return self.tags.get(RECIPE, "")

    @property
    def conditions(self) -> dict[str, object]:
        """The conditions of its times; what earlier versions did not record follows from tags and settings."""
        try:
            found = json.loads(self.tags.get("cvexp.conditions", "{}"))
        except (ValueError, RecursionError):
            return {}
        if not isinstance(found, dict):
            return {}
        if found and "step_runner" not in found:
            found["step_runner"] = self.tags.get("cvexp.step_runner", "unknown").partition(" ")[0]
            settings = self.settings
            try:
                found["split"] = train_split(
                    val_split=f"{float(settings.get('val_split', '0')):g}",
                    limit=settings.get("limit", "none"),
                    split_seed=settings.get("split_seed", "unknown"),
                    train_images=int(found.get("train_images", 0)),
                )
            except (ValueError, TypeError):  # whoever writes to the store may have written them
                found["split"] = "unknown"
        return found

    @property
    def comparability_key(self) -> str:
        """Equal for runs whose times may be ranked against each other."""
        conditions = self.conditions
        return _digest(conditions) if conditions else self.tags.get("cvexp.comparability_key", "")

    @property
    def test_set(self) -> str:
        """What identifies its test images, so that accuracies over the same ones can be told from others."""
        if TEST_SET in self.tags:
            return self.tags[TEST_SET]
        dataset = str(self.conditions.get("dataset") or self.params.get("dataset", "unknown"))
        return test_set(dataset, limit=self.params.get("limit"), split_seed=self.params.get("split_seed"))


def test_set_labels(runs: Sequence[RunSummary]) -> dict[str, str]:
    """A label for each test set of `runs`: the dataset's name, or its digest where two contents share a name.

    Returns:
        Labels such as `digits` and `digits,limit=300,split_seed=7`, by test set. The seed is named where it tells
        two sets apart.
    """
    parts = {run.test_set: run.test_set.split(",") for run in runs}
    names = {run.test_set: run.params.get("dataset", "unknown") for run in reversed(runs)}
    contents: dict[str, set[str]] = {}
    for identity, (digest, *_) in parts.items():
        contents.setdefault(names[identity], set()).add(digest)
    first = {i: names[i] if len(contents[names[i]]) == 1 else parts[i][0] for i in parts}
    short = {i: ",".join([first[i], *parts[i][1:2]]) for i in parts}
    unique = list(short.values())
    return {i: short[i] if unique.count(short[i]) == 1 else ",".join([first[i], *parts[i][1:]]) for i in parts}
