"""How an evaluation is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report.terminal import cell, console, hint, table
from cvexp.results import Metric

if TYPE_CHECKING:
    from cvexp.jobs.evaluate import EvaluateResult
    from cvexp.results import Evaluation


def show(result: EvaluateResult) -> None:
    """Print loss, accuracy and the per-class table, and whether they equal what the run logged."""
    out = console()
    metrics = result.evaluation.metrics
    out.print(
        cell(
            f"{result.name} on {result.dataset} ({metrics.n_images:,} test images, {result.device}): "
            f"accuracy {metrics.accuracy:.2%}, loss {metrics.loss:.5f}",
            "bold",
        ),
        soft_wrap=True,
    )
    out.print(class_table(result.evaluation))
    out.print(cell(verdict(result)), soft_wrap=True)
    if result.note:
        hint(result.note)


def class_table(evaluation: Evaluation) -> Any:
    """Precision, recall, F1 and support of every class."""
    made = table(("class", "left"), ("precision", "right"), ("recall", "right"), ("F1", "right"), ("images", "right"))
    for row in evaluation.per_class:
        figures = (f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", f"{row.support:,}")
        made.add_row(cell(row.name), *figures)
    return made


def verdict(result: EvaluateResult) -> str:
    """Whether the metrics equal the logged ones, as a sentence."""
    if result.matches is None:
        return f"nothing to compare with: the run was measured on other data than {result.dataset}"
    logged = (
        f"the run logged accuracy {result.logged[Metric.TEST_ACCURACY]:.2%}, loss {result.logged[Metric.TEST_LOSS]:.5f}"
    )
    if result.matches:
        return f"matches the logged figures: {logged}"
    if not result.same_device:
        return f"differs from the logged figures, which come from another device: {logged}"
    return f"DIFFERS from the logged figures on the same device and data: {logged}"


def document(result: EvaluateResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        "dataset": result.dataset,
        "device": result.device,
        "device_name": result.device_name,
        "metrics": result.evaluation.metrics.keyed("test"),
        "logged": result.logged,
        "matches": result.matches,
        "same_device": result.same_device,
        "per_class": [
            {"class": c.name, "precision": c.precision, "recall": c.recall, "f1": c.f1, "support": c.support}
            for c in result.evaluation.per_class
        ],
        "note": result.note,
    }
