"""How an evaluation is shown."""

from dataclasses import asdict
from typing import Any

from cvexp.calibration import Calibration
from cvexp.jobs.evaluate import EvaluateResult
from cvexp.jobs.label_errors import LabelErrorsFound
from cvexp.report.terminal import cell, console, hint, say, table
from cvexp.results import Metric

ROWS = 10
"""Label errors in the terminal; more are in the grid, and all in the CSV."""


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
    if result.evaluation.is_imbalanced:
        say(f"balanced accuracy {metrics.balanced_accuracy:.2%} (mean recall), macro F1 {metrics.macro_f1:.4f}")
    for line in _probabilities(result):
        say(line)
    say(_verdict(result))
    if result.label_errors is not None:
        _show_label_errors(result.label_errors)
    if result.stored is not None:
        files = ", ".join(f"records/{name}.parquet" for name in result.stored)
        say(f"added to the run: {files}" if files else "the run has its per-image records already")
    hint(f"reliability diagram: {result.reliability}" if result.reliability else None, result.note)


def _probabilities(result: EvaluateResult) -> list[str]:
    """What the predicted probabilities are worth, in two lines of at most 80 characters."""
    top = "".join(f"top-{k} {share:.2%}, " for k, share in result.top_k.items())
    found = result.calibration
    if found is None:
        return [f"{top}no calibration: the logits are not finite"]
    interval = f"95%: {found.low:.2%} to {found.high:.2%}; {len(found.bins)} equal-mass bins"
    return [
        f"{top}Brier {result.brier:.4f}, mean confidence {found.confidence:.2%}",
        f"ECE {found.error:.2%} ({interval}): {_tendency(found)}",
    ]


def _tendency(found: Calibration) -> str:
    """Which way confidence is off, in words."""
    if not found.low:
        return "no more than chance"
    return "overconfident" if found.confidence > found.accuracy else "underconfident"


def _show_label_errors(found: LabelErrorsFound) -> None:
    """Print the likeliest label errors, and where all of them are."""
    alone = len(found.models) == 1
    by = "" if alone else f" that all {len(found.models)} models agree on"
    say(f"{len(found.candidates):,} candidates for label errors{by}")
    if not found.candidates:
        return
    made = table(">image", "label", "predicted", ">probability", ">of the label")
    for one in found.shown[:ROWS]:
        names = (cell(found.class_names[k]) for k in (one.label, one.suggested))
        made.add_row(str(one.image), *names, f"{one.probability:.1%}", f"{one.label_probability:.2%}")
    console().print(made)
    hint(f"the first {len(found.shown)} are drawn to {found.picture}; all are in {found.table}")
    hint("the model's own mistakes are among them; other seeds tell them apart: --with RUN" if alone else None)


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
        "top_k": {str(k): share for k, share in result.top_k.items()},
        "brier": result.brier,
        "log_loss": result.evaluation.metrics.loss,
        "calibration": None if result.calibration is None else _calibration(result.calibration),
        "reliability": result.reliability,
        "label_errors": None if result.label_errors is None else _label_errors(result.label_errors),
        "stored": result.stored,
        "per_class": [{"class": row.pop("name"), **row} for row in per_class],
        "note": result.note,
    }


def _calibration(found: Calibration) -> dict[str, Any]:
    return {"binning": "equal mass", "n_bins": len(found.bins), **asdict(found)}


def _label_errors(found: LabelErrorsFound) -> dict[str, Any]:
    names = found.class_names
    return {
        "n_candidates": len(found.candidates),
        "models": found.models,
        "picture": found.picture,
        "table": found.table,
        "shown": [{**asdict(one), "label": names[one.label], "suggested": names[one.suggested]} for one in found.shown],
    }
