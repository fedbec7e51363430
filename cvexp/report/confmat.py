"""How a confusion matrix is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report.terminal import cell, console, hint

if TYPE_CHECKING:
    from cvexp.jobs.confmat import ConfmatResult


def show(result: ConfmatResult) -> None:
    """Print the most confused pairs, and where the picture is."""
    out = console()
    out.print(cell(f"{result.name} on {result.dataset}: test accuracy {result.accuracy:.2%}", "bold"), soft_wrap=True)
    for pair in result.pairs:
        images = "image" if pair.count == 1 else "images"
        out.print(
            cell(f"{pair.truth} taken for {pair.taken_for}: {pair.count:,} {images}, {pair.share:.1%} of {pair.truth}"),
            soft_wrap=True,
        )
    if not result.pairs:
        out.print("no image is taken for another class")
    where = f", and logged to the run as {result.logged_as}" if result.logged_as else ""
    hint(f"drawn to {result.picture}{where}")
    if result.note:
        hint(result.note)


def document(result: ConfmatResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        "dataset": result.dataset,
        "normalize": result.normalize,
        "class_names": list(result.class_names),
        "matrix": result.matrix.tolist() if result.normalize != "none" else result.matrix.astype(int).tolist(),
        "most_confused": [
            {"truth": p.truth, "taken_for": p.taken_for, "count": p.count, "share": p.share} for p in result.pairs
        ],
        "accuracy": result.accuracy,
        "picture": str(result.picture),
        "logged_as": result.logged_as,
        "note": result.note,
    }
