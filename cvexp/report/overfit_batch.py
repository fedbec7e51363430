"""How it is shown whether one batch can be learnt."""

from typing import Any

from cvexp.jobs.overfit_batch import Overfit
from cvexp.report.terminal import hint, seconds, show_rows


def show(result: Overfit) -> None:
    """Print the loss before and after."""
    rows = {
        "one batch": f"{result.n_images} images, {result.n_steps:,} steps in {seconds(result.seconds)}",
        "loss": f"{result.first_loss:.3f} at first, {result.loss:.3f} at last",
        "right": f"{result.n_correct} of {result.n_images}",
        "near zero": "reached" if result.reached else "not reached",
    }
    show_rows(rows, bold="near zero")
    hint("no run is made; schedule, smoothing and the like are left out")


def document(result: Overfit) -> dict[str, Any]:
    """The result for `--json`."""
    names = ("n_images", "n_steps", "seconds", "first_loss", "loss", "n_correct", "reached")
    return {name: getattr(result, name) for name in names}
