"""How predictions are shown."""

from typing import Any

from cvexp.jobs.predict import Prediction, PredictResult
from cvexp.report.terminal import cell, console, hint, table

SHOWN = 9
RUNNERS_UP = 2


def show(result: PredictResult) -> None:
    """Print a row per image: class, probability, runners-up; and the notes about conversions."""
    if result.predictions:
        with_truth = any(p.truth is not None for p in result.predictions)
        made = table("image", *(["truth"] if with_truth else []), "class", ">probability", "then")
        for p in result.predictions[: SHOWN if with_truth else None]:
            made.add_row(*_row(p, with_truth=with_truth))
        console().print(made)
    hint(*(f"{p.image}: " + ", ".join(p.notes) for p in result.predictions if p.notes))
    if result.table is not None and result.n_images is not None:
        hint(f"{len(result.predictions):,} of {result.n_images:,} test images are mistakes; all are in {result.table}")
    hint(f"drawn to {result.picture}" if result.picture else None, result.note)


def _row(p: Prediction, *, with_truth: bool) -> list[Any]:
    (best, probability), *others = p.ranking
    then = ", ".join(f"{name} {share:.1%}" for name, share in others[:RUNNERS_UP])
    truth = [cell(p.truth or "")] if with_truth else []
    style = "bold" if p.truth in (None, best) else "red"
    return [cell(p.image), *truth, cell(best, style), f"{probability:.1%}", cell(then)]


def document(result: PredictResult) -> dict[str, Any]:
    """The result for `--json`."""
    predictions = [
        {
            "image": p.image,
            "class": p.best,
            "probability": p.ranking[0][1],
            "truth": p.truth,
            "class_names": p.class_names,
            "logits": p.logits,
            "probabilities": p.probabilities,
            "notes": p.notes,
        }
        for p in result.predictions
    ]
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        "predictions": predictions,
        "failures": [failure.what for failure in result.failures],
        "picture": result.picture,
        "table": result.table,
        "note": result.note,
    }
