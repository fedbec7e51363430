"""How explanations of predictions are shown."""

from typing import Any

from cvexp.jobs.explain import ExplainResult
from cvexp.report.terminal import cell, console, hint, say, table


def show(result: ExplainResult) -> None:
    """Print a row per image, the pictures that were written, and what surprised about the files."""
    if result.images:
        with_truth = any(one.prediction.truth is not None for one in result.images)
        made = table("image", *(["truth"] if with_truth else []), "predicted", ">probability", "and evidence for")
        for one in result.images:
            prediction, other = one.prediction, one.classes[1]
            share = dict(prediction.ranking)[other]
            truth = [cell(prediction.truth or "")] if with_truth else []
            style = "bold" if prediction.truth in (None, prediction.best) else "red"
            best = prediction.ranking[0][1]
            made.add_row(
                cell(prediction.image),
                *truth,
                cell(prediction.best, style),
                f"{best:.1%}",
                cell(f"{other} {share:.1%}"),
            )
        console().print(made)
        say(_method(result))
    for picture in result.pictures:
        say(picture)
    hint(
        *(
            f"{one.prediction.image}: " + ", ".join(one.prediction.notes)
            for one in result.images
            if one.prediction.notes
        )
    )
    hint(f"stored with the run: {', '.join(result.stored)}" if result.stored else None, result.note)


def _method(result: ExplainResult) -> str:
    if result.layer is None:
        return f"{result.name} has no layer with maps: drawn is the gradient of each class's score by the pixels"
    return f"Grad-CAM over {result.layer}, and the maps of the layers"


def document(result: ExplainResult) -> dict[str, Any]:
    """The result for `--json`."""
    images = [
        {
            "image": one.prediction.image,
            "class": one.prediction.best,
            "probability": one.prediction.ranking[0][1],
            "truth": one.prediction.truth,
            "classes": one.classes,
            "notes": one.prediction.notes,
        }
        for one in result.images
    ]
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        "method": result.method,
        "layer": result.layer,
        "images": images,
        "pictures": result.pictures,
        "failures": [failure.what for failure in result.failures],
        "stored": result.stored,
        "note": result.note,
    }
