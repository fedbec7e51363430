"""How a learning rate that was found is shown."""

import math
from typing import Any

from cvexp.jobs.lr_find import LrFound
from cvexp.report.terminal import hint, show_rows


def show(result: LrFound) -> None:
    """Print the rate that is suggested, and where the picture is."""
    lowest = min((loss for loss in result.losses if math.isfinite(loss)), default=math.nan)
    rows = {
        "suggested --lr": "none: the loss did not fall" if result.lr is None else f"{result.lr:g}",
        "rates tried": f"{result.rates[0]:g} to {result.rates[-1]:.3g}, {len(result.rates)} steps",
        "loss": f"{result.losses[0]:.3f} at first, {lowest:.3f} at the lowest",
        "picture": str(result.plot),
    }
    show_rows(rows, bold="suggested --lr")
    hint("nothing is trained; the rate is a tenth of the one at which the smoothed loss is lowest")


def document(result: LrFound) -> dict[str, Any]:
    """The result for `--json`; losses that are not finite become null."""
    return {"lr": result.lr, "rates": list(result.rates), "losses": list(result.losses), "plot": str(result.plot)}
