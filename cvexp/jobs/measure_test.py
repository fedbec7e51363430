"""Measure a run on the test images that was trained without them, as a sweep's trials are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.jobs import evaluate

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.settings import StoreSettings


def measure_test(
    run_id: str, settings: StoreSettings, *, data_dir: Path, trusted_factory: str | None = None
) -> dict[str, float]:
    """Evaluate the run's stored weights on the test images, add figures and records to the run, and give the figures.

    Raises:
        InputError: The run, its weights or its dataset cannot be used.
    """
    wanted = evaluate.Wanted(store=True)
    measured = evaluate.run(run_id, settings, data_dir=data_dir, trusted_factory=trusted_factory, wanted=wanted)
    return measured.evaluation.metrics.keyed("test")
