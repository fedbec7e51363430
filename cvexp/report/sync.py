"""How `cvexp sync` is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.text import Text

from cvexp.report.terminal import console
from cvexp.text import clean

if TYPE_CHECKING:
    from cvexp.tracking.pending import SyncResult


def show(result: SyncResult) -> None:
    """Print a line a run, or that there was nothing to do."""
    if not result.delivered:
        console().print("nothing waits to be delivered")
    for run_id, n_records in result.delivered.items():
        left = result.left.get(run_id, 0)
        rest = f", {left} left" if left else ""
        console().print(Text(clean(f"run {run_id}: {n_records} records delivered{rest}")), soft_wrap=True)


def document(result: SyncResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {"delivered": result.delivered, "left": result.left, "trouble": result.trouble}
