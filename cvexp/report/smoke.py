"""How a few steps of everything are shown."""

from typing import Any

from cvexp.jobs.smoke import Smoke
from cvexp.report.terminal import hint, seconds, show_rows


def show(result: Smoke) -> None:
    """Print a line for each part."""
    show_rows({**result.parts, "all of it": seconds(result.seconds)}, bold="all of it")
    hint("the run and its store are removed")


def document(result: Smoke) -> dict[str, Any]:
    """The result for `--json`."""
    return {"seconds": result.seconds, "parts": dict(result.parts)}
