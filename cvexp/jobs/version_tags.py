"""The proof of a registered version: what was measured of its run, as tags."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from cvexp.calibration import wilson
from cvexp.comparability import TEST_SET
from cvexp.results import Metric
from cvexp.runs import BENCH
from cvexp.settings import VERSION

if TYPE_CHECKING:
    from cvexp.image_records import ImageRecords
    from cvexp.jobs.recipe_seeds import OverSeeds
    from cvexp.runs import RunSummary

EXPORT = "export/"
"""How the keys of the figures of exported files begin."""

MAX_EXPORT_FIGURES = 100
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


def version_tags(run: RunSummary, *, records: ImageRecords | None, seeds: OverSeeds | None) -> dict[str, str]:
    """What was measured of a run, by tag; figures have the keys of their metrics.

    Args:
        run: A finished run.
        records: What its model said of the test images: their number makes the interval of its accuracy.
        seeds: The accuracy of its recipe, where other seeds of it were trained.
    """
    figures = {key.value: run.metrics[key] for key in FIGURES if key in run.metrics}
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
        **_seeds(seeds),
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


def _seeds(found: OverSeeds | None) -> dict[str, str]:
    """The mean accuracy over the seeds of the recipe, with its interval."""
    if found is None:
        return {}
    limits = {"mean": found.accuracy.mean, "low": found.accuracy.low, "high": found.accuracy.high}
    return {
        "seeds/n": str(len(found.seeds)),
        "seeds/list": " ".join(map(str, found.seeds)),
        **{f"seeds/accuracy_{name}": f"{value:.6f}" for name, value in limits.items() if value is not None},
        **({"seeds/collapsed": str(found.n_collapsed)} if found.n_collapsed else {}),
    }
