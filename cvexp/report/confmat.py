"""How a confusion matrix is shown."""

from dataclasses import asdict
from typing import Any

from cvexp.jobs.confmat import ConfmatResult
from cvexp.report.terminal import hint, say


def show(result: ConfmatResult) -> None:
    """Print the most confused pairs, and where the picture is."""
    say(f"{result.name} on {result.dataset}: test accuracy {result.accuracy:.2%}", "bold")
    for pair in result.pairs:
        images = "image" if pair.count == 1 else "images"
        say(f"{pair.truth} taken for {pair.taken_for}: {pair.count:,} {images}, {pair.share:.1%} of {pair.truth}")
    if not result.pairs:
        say("no image is taken for another class")
    where = f", and logged to the run as {result.logged_as}" if result.logged_as else ""
    hint(f"drawn to {result.picture}{where}", result.note)


def document(result: ConfmatResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "run_id": result.run_id,
        "run_name": result.name,
        "dataset": result.dataset,
        "normalize": result.normalize,
        "class_names": result.class_names,
        "matrix": (result.matrix if result.normalize != "none" else result.matrix.astype(int)).tolist(),
        "most_confused": [asdict(pair) for pair in result.pairs],
        "accuracy": result.accuracy,
        "picture": result.picture,
        "logged_as": result.logged_as,
        "note": result.note,
    }
