"""How a confusion matrix is shown."""

from dataclasses import asdict
from typing import Any

from cvexp.jobs.confmat import ConfmatResult, Versus
from cvexp.report.terminal import hint, say


def show(result: ConfmatResult) -> None:
    """Print the most confused pairs, or those that changed most, and where the picture is."""
    where = f", and logged to the run as {result.logged_as}" if result.logged_as else ""
    if result.versus is not None:
        _show_difference(result, result.versus)
        hint(f"drawn to {result.picture}{where}", result.note)
        return
    say(f"{result.name} on {result.dataset}: test accuracy {result.accuracy:.2%}", "bold")
    for pair in result.pairs:
        images = "image" if pair.count == 1 else "images"
        say(f"{pair.truth} taken for {pair.taken_for}: {pair.count:,} {images}, {pair.share:.1%} of {pair.truth}")
    if not result.pairs:
        say("no image is taken for another class")
    hint(f"drawn to {result.picture}{where}", result.note)


def _show_difference(result: ConfmatResult, versus: Versus) -> None:
    say(f"{result.name} minus {versus.name}, both on {result.dataset}", "bold")
    points = 100 * (result.accuracy - versus.accuracy)
    say(f"test accuracy {result.accuracy:.2%} and {versus.accuracy:.2%}: {points:+.2f} points")
    for pair in versus.changed:
        images = "image" if pair.count_vs == 1 else "images"
        counts = f"{pair.count:,} instead of {pair.count_vs:,} {images}"
        say(f"{pair.truth} taken for {pair.taken_for}: {counts} ({pair.change:+,})")
    if not versus.changed:
        say("both take the same number of images of every class for every other")


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
        **({} if result.versus is None else {"vs": _versus(result.versus, whole=result.normalize == "none")}),
    }


def _versus(versus: Versus, *, whole: bool) -> dict[str, Any]:
    """The run that was subtracted, its matrix, and the difference."""
    kind = int if whole else float
    return {
        "run_id": versus.run_id,
        "run_name": versus.name,
        "accuracy": versus.accuracy,
        "matrix": versus.matrix.astype(kind).tolist(),
        "difference": versus.difference.astype(kind).tolist(),
        "most_changed": [{**asdict(pair), "change": pair.change} for pair in versus.changed],
    }
