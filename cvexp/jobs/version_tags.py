"""The proof of a registered version: what was measured of its run, as tags."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.calibration import wilson
from cvexp.comparability import TEST_SET
from cvexp.comparison.groups import interval_of, seed_of
from cvexp.results import Metric
from cvexp.runs import BENCH, RECIPE
from cvexp.settings import VERSION
from cvexp.stats import collapsed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.image_records import ImageRecords
    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

EXPORT = "export/"
"""How the keys of the figures of exported files begin."""

MAX_EXPORT_FIGURES = 100
MAX_REPEATS = 100
FIGURES = (
    Metric.TEST_ACCURACY,
    Metric.TEST_LOSS,
    Metric.VAL_ACCURACY,
    Metric.LATENCY_MS,
    Metric.LATENCY_P90_MS,
    Metric.BENCH_IMAGES_PER_SECOND,
    Metric.PARAMETERS,
    Metric.BYTES,
)
_DIGEST = re.compile(r"[0-9a-f]{8,64}")


def repeats_of(store: Store, run: RunSummary) -> list[RunSummary]:
    """The finished runs of a run's recipe in its experiment that were measured on its test images, itself included."""
    from cvexp.tracking.queries import search

    if not _DIGEST.fullmatch(run.recipe):  # a store's content is untrusted
        return [run]
    where = f"tags.`{RECIPE}` = '{run.recipe}'"
    own = replace(store, experiment_id=run.experiment_id)
    found = search(own, where=where, status="FINISHED", last=MAX_REPEATS)
    return [run, *(one for one in found if one.test_set == run.test_set and one.run_id != run.run_id)]


def version_tags(
    run: RunSummary, *, records: ImageRecords | None, repeats: Sequence[RunSummary], n_classes: int | None
) -> dict[str, str]:
    """What was measured of a run, by tag; figures have the keys of their metrics.

    Args:
        run: A finished run.
        records: What its model said of the test images: their number makes the interval of its accuracy.
        repeats: Runs of its recipe with other seeds, itself included.
        n_classes: Of its dataset, if that is known.
    """
    figures = {key: run.metrics[key] for key in FIGURES if key in run.metrics}
    exported = sorted(key for key in run.metrics if key.startswith(EXPORT))[:MAX_EXPORT_FIGURES]
    figures |= {key: run.metrics[key] for key in exported}
    return {
        "cvexp.version": VERSION,
        "cvexp.run_id": run.run_id,
        "cvexp.run_name": run.name,
        "cvexp.model": run.params.get("model", ""),
        "cvexp.dataset": run.params.get("dataset", ""),
        "cvexp.dataset_digest": run.test_set.partition(",")[0],
        TEST_SET: run.test_set,
        **{key: f"{value:.8g}" for key, value in figures.items()},
        **_interval(run, records),
        **_seeds(repeats, n_classes),
        **({BENCH: run.tags[BENCH]} if BENCH in run.tags else {}),
    }


def _interval(run: RunSummary, records: ImageRecords | None) -> dict[str, str]:
    """The interval of the accuracy over new images, of these weights."""
    accuracy = run.metrics.get(Metric.TEST_ACCURACY, math.nan)
    if records is None or not 0 <= accuracy <= 1:
        return {}
    n_images = len(records.labels)
    low, high = wilson(accuracy, n_images)
    key = Metric.TEST_ACCURACY.value
    about = f"95%, Wilson: these weights on new images, by {n_images:,} test images"
    return {f"{key}_low": f"{low:.6f}", f"{key}_high": f"{high:.6f}", f"{key}_interval": about}


def _seeds(repeats: Sequence[RunSummary], n_classes: int | None) -> dict[str, str]:
    """The mean accuracy over the seeds of the recipe with its interval, which is withheld where seeds collapsed."""
    latest = {seed_of(run): run for run in sorted(repeats, key=lambda run: run.started_at)}
    accuracies = {
        seed: run.metrics[Metric.TEST_ACCURACY]
        for seed, run in sorted(latest.items(), key=lambda item: (item[0] is None, item[0] or 0))
        if seed is not None and math.isfinite(run.metrics.get(Metric.TEST_ACCURACY, math.nan))
    }
    if len(accuracies) < 2:  # noqa: PLR2004 - repeats
        return {}
    values = list(accuracies.values())
    found = interval_of(values)
    n_collapsed = sum(collapsed(values, n_classes)) if n_classes else 0
    tags = {
        "seeds/n": str(len(values)),
        "seeds/list": " ".join(map(str, accuracies)),
        "seeds/accuracy_mean": f"{found.mean:.6f}",
    }
    if n_collapsed:
        return tags | {"seeds/collapsed": str(n_collapsed)}
    limits = {"low": found.low, "high": found.high}
    return tags | {f"seeds/accuracy_{name}": f"{limit:.6f}" for name, limit in limits.items() if limit is not None}
