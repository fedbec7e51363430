"""How each figure of a report was measured, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.results import Metric

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.comparison.tables import Table
    from cvexp.report.compare.cells import Column

_BENCH = (
    "The run's stored weights in evaluation mode on real test images in memory, after a warm-up; models measured in "
    "turns, forwards and backwards; rounds in which a process waited for a core are dropped."
)

FIGURES: dict[str, str] = {
    Metric.TEST_ACCURACY: (
        "Share of the test images whose likeliest class is the true one, with the weights after the last epoch."
    ),
    Metric.TEST_BALANCED_ACCURACY: (
        "Mean over the classes of the share of their test images that are right: small classes count as large ones do."
    ),
    Metric.TEST_MACRO_F1: "Mean over the classes of F1, the harmonic mean of precision and recall, on the test images.",
    Metric.VAL_BALANCED_ACCURACY: "As the balanced accuracy, on the part that was set aside for validation.",
    Metric.VAL_MACRO_F1: "As macro F1, on the part of the training images that was set aside for validation.",
    Metric.TEST_LOSS: "Mean cross-entropy over the test images, in nats, with the weights after the last epoch.",
    Metric.VAL_ACCURACY: "As the test accuracy, on the part of the training images that was set aside for validation.",
    Metric.VAL_LOSS: "As the test loss, on the part of the training images that was set aside for validation.",
    Metric.TRAIN_ACCURACY: "Share of the last epoch's training images that were right, each before its own step.",
    Metric.TRAIN_LOSS: "Mean cross-entropy over the last epoch's training images, each before its own step.",
    Metric.TRAIN_SECONDS: (
        "Wall-clock seconds of the training steps, summed over epochs, on a clock that waits for the device. "
        "Setup, evaluation and tracking are not in it."
    ),
    Metric.EPOCH_SECONDS_MEDIAN: "Median wall-clock seconds of an epoch; the first one, which warms up, left out.",
    Metric.SECONDS_TO_ACCURACY: "Seconds of training until the held-out accuracy first reached the run's target.",
    Metric.IMAGES_PER_SECOND: "Training images per second of training steps, in the last epoch.",
    Metric.LATENCY_MS: f"Median milliseconds for one image (batch 1). {_BENCH}",
    Metric.LATENCY_P90_MS: "The 90th percentile of the same calls: one in ten takes longer.",
    Metric.FIRST_CALL_MS: "Milliseconds of the first call after loading, which is not in the latency.",
    Metric.BENCH_IMAGES_PER_SECOND: "Images per second at the largest batch measured, by the rules of the latency.",
    Metric.PARAMETERS: "Numbers that training adjusts.",
    Metric.BYTES: "Bytes of parameters and buffers in memory.",
    Metric.PROCESS_PEAK_BYTES: "Most resident memory of the process during the run, the libraries included.",
    Metric.DEVICE_PEAK_BYTES: "Most memory allocated on the device during the run.",
}

_INTERVAL = (
    "Half the width of the 95% t interval of the mean over the seeds: how far the mean could be off because training "
    "is random. A single run has none."
)
_VERDICT = (
    "Differences of accuracy are judged image by image and seed by seed: a two-way random-effects interval, seeds and "
    "test images both drawn at random, paired where both models share seeds. Holm's correction covers all pairs of a "
    "table. A verdict is about models retrained on the same training data and about new images of the same kind."
)
_SINGLE = (
    "Of two single runs: McNemar's mid-p test and the interval of Agresti and Min, on the images that only one of "
    "them gets right. It is about these weights and new images; another seed may reverse it."
)
_BALANCED = (
    " Each image counts by its class, N / (K n) with n of N images in one of K classes, so that the accuracy is the "
    "balanced one; two single runs have the paired t interval over images."
)
_FRONT = (
    "A model is off the front only if another is shown to be better on one axis and not worse on the other, each "
    "one-sided at 5% divided by the number of rivals. Beaten in the point estimates only is drawn hollow."
)


def definitions(tables: Sequence[Table], columns: Sequence[Column]) -> list[tuple[str, str]]:
    """Pairs of a term and what it means, for the columns and marks that the tables have."""
    found = {column.header: FIGURES[column.name] for column in columns if column.name in FIGURES}
    groups = [group for table in tables for group in table.groups]
    if any(group.n > 1 for group in groups):
        found["±"] = _INTERVAL
    balanced = _BALANCED if any(table.quality != Metric.TEST_ACCURACY for table in tables) else ""
    kinds = {verdict.verdict == "these-two-only" for table in tables for verdict in table.verdicts}
    if False in kinds:
        found["verdicts"] = _VERDICT + balanced
    if True in kinds:
        found["these two only"] = _SINGLE if not balanced else f"Of two single runs.{balanced}"
    if any(standing.status != "unplaced" for table in tables for standing in table.front.standings.values()):
        found["Pareto front (*)"] = _FRONT
    return list(found.items())
