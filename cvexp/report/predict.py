"""How predictions are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report.terminal import cell, console, hint, table

if TYPE_CHECKING:
    from cvexp.jobs.predict import Prediction, PredictResult

SHOWN = 9
RUNNERS_UP = 2


def show(result: PredictResult) -> None:
    """Print a row per image: class, probability, runners-up; and the notes about conversions."""
    if result.predictions:
        with_truth = any(p.truth is not None for p in result.predictions)
        columns = [("image", "left"), ("class", "left"), ("probability", "right"), ("then", "left")]
        if with_truth:
            columns.insert(1, ("truth", "left"))
        made = table(*columns)
        for p in result.predictions[: SHOWN if with_truth else None]:
            made.add_row(*_row(p, with_truth=with_truth))
        console().print(made)
    for p in result.predictions:
        if p.notes:
            hint(f"{p.image}: " + ", ".join(p.notes))
    if result.table is not None and result.n_images is not None:
        hint(f"{len(result.predictions):,} of {result.n_images:,} test images are mistakes; all are in {result.table}")
    if result.picture is not None:
        hint(f"drawn to {result.picture}")
    if result.note:
        hint(result.note)


def _row(p: Prediction, *, with_truth: bool) -> list[Any]:
    (best, probability), *others = p.ranking
    then = ", ".join(f"{name} {share:.1%}" for name, share in others[:RUNNERS_UP])
    style = "" if p.truth in (None, best) else "red"
    row = [cell(p.image), cell(best, style or "bold"), f"{probability:.1%}", cell(then)]
    if with_truth:
        row.insert(1, cell(p.truth or ""))
    return row


def document(result: PredictResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        "predictions": [
            {
                "image": p.image,
                "class": p.best,
                "probability": p.ranking[0][1],
                "truth": p.truth,
                "class_names": list(p.class_names),
                "logits": list(p.logits),
                "probabilities": list(p.probabilities),
                "notes": list(p.notes),
            }
            for p in result.predictions
        ],
        "failures": [failure.what for failure in result.failures],
        "picture": str(result.picture) if result.picture else None,
        "table": str(result.table) if result.table else None,
        "note": result.note,
    }
