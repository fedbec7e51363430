"""How an evaluation is shown."""

from dataclasses import asdict
from typing import Any

from cvexp.jobs.evaluate import EvaluateResult
from cvexp.report.terminal import cell, console, hint, say, table
from cvexp.results import Metric


def show(result: EvaluateResult) -> None:
    """Print loss, accuracy and the per-class table, and whether they equal what the run logged."""
    metrics = result.evaluation.metrics
    say(
        f"{result.name} on {result.dataset} ({metrics.n_images:,} test images, {result.device}): "
        f"accuracy {metrics.accuracy:.2%}, loss {metrics.loss:.5f}",
        "bold",
    )
    made = table("class", ">precision", ">recall", ">F1", ">images")
    for row in result.evaluation.per_class:
        figures = (f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", f"{row.support:,}")
        made.add_row(cell(row.name), *figures)
    console().print(made)
    say(_verdict(result))
    hint(result.note)


def _verdict(result: EvaluateResult) -> str:
    """Whether the metrics equal the logged ones, as a sentence."""
    if result.matches is None:
        return f"nothing to compare with: the run was measured on other data than {result.dataset}"
    accuracy, loss = result.logged[Metric.TEST_ACCURACY], result.logged[Metric.TEST_LOSS]
    logged = f"the run logged accuracy {accuracy:.2%}, loss {loss:.5f}"
    if result.matches:
        return f"matches the logged figures: {logged}"
    if not result.same_device:
        return f"differs from the logged figures, which come from another device: {logged}"
    return f"DIFFERS from the logged figures on the same device and data: {logged}"


def document(result: EvaluateResult) -> dict[str, Any]:
    """The result for `--json`."""
    per_class = [asdict(row) for row in result.evaluation.per_class]
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
        "per_class": [{"class": row.pop("name"), **row} for row in per_class],
        "note": result.note,
    }
