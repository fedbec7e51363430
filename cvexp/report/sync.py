"""How `cvexp sync` is shown."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.text import Text

from cvexp.report.terminal import cell, console, hint, table
from cvexp.text import clean

if TYPE_CHECKING:
    from cvexp.tracking.local import Leftover
    from cvexp.tracking.recovery import SyncResult


def show(result: SyncResult) -> None:
    """Print a line per run, or that there was nothing to deliver."""
    if not (result.delivered or result.damaged or result.elsewhere):
        console().print("nothing waits to be delivered")
    for run_id, n_records in result.delivered.items():
        left = result.left.get(run_id, 0)
        rest = f", {left} left" if left else ""
        console().print(Text(clean(f"run {run_id}: {n_records} records delivered{rest}")), soft_wrap=True)


def document(result: SyncResult) -> dict[str, Any]:
    """The result for `--json`."""
    return {
        "delivered": result.delivered,
        "left": result.left,
        "damaged": result.damaged,
        "elsewhere": [asdict(run) for run in result.elsewhere],
        "trouble": result.trouble,
    }


class Leftovers:
    """How `cvexp sync --list` is shown."""

    @staticmethod
    def show(runs: list[Leftover]) -> None:
        """Print a row per run."""
        if not runs:
            console().print("no run has a folder here")
            return
        made = table(
            *(("run", "left"), ("id", "left"), ("status", "left"), ("waiting", "right"), ("checkpoint", "left")),
            ("belongs to", "left"),
        )
        for column in made.columns[:-1]:
            column.no_wrap = True
        made.columns[-1].overflow = "fold"
        for run in runs:
            if run.problem:
                made.add_row(cell(run.name), cell(run.run_id[:8]), "UNUSABLE", "", "", cell(run.problem))
                continue
            where = f"{run.experiment} in {run.tracking_uri}" if run.tracking_uri else "not noted"
            kept = "yes" if run.resumable else "no"
            made.add_row(*map(cell, (run.name, run.run_id[:8], run.status, f"{run.waiting:,}", kept, where)))
        console().print(made)
        hint("next     cvexp train --resume RUN   |   cvexp sync   |   cvexp sync --discard RUN")

    @staticmethod
    def document(runs: list[Leftover]) -> dict[str, Any]:
        """The runs for `--json`."""
        return {"runs": [asdict(run) for run in runs]}


class Discarded:
    """How `cvexp sync --discard` is shown."""

    @staticmethod
    def show(run: Leftover) -> None:
        """Print what was removed."""
        lost = f", with {run.waiting} records that were not delivered" if run.waiting else ""
        console().print(Text(clean(f"discarded {run.name or run.run_id} ({run.run_id[:12]}){lost}")), soft_wrap=True)

    @staticmethod
    def document(run: Leftover) -> dict[str, Any]:
        """The run for `--json`."""
        return {"discarded": asdict(run)}
