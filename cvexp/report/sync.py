"""How `cvexp sync` is shown."""

from dataclasses import asdict
from typing import Any

from cvexp.report.terminal import cell, console, say, suggest, table
from cvexp.tracking.local import Leftover
from cvexp.tracking.recovery import SyncResult


def show(result: SyncResult) -> None:
    """Print a line per run, or that there was nothing to deliver."""
    if not (result.delivered or result.damaged or result.elsewhere):
        say("nothing waits to be delivered")
    for run_id, n_records in result.delivered.items():
        left = result.left.get(run_id, 0)
        rest = f", {left} left" if left else ""
        say(f"run {run_id}: {n_records} records delivered{rest}")


document = asdict


class Leftovers:
    """How `cvexp sync --list` is shown."""

    @staticmethod
    def show(runs: list[Leftover]) -> None:
        """Print a row per run."""
        if not runs:
            say("no run has a folder here")
            return
        made = table("run", "id", "status", ">waiting", "checkpoint", "belongs to")
        for column in made.columns[:-1]:
            column.no_wrap = True
        made.columns[-1].overflow = "fold"
        for run in runs:
            where = f"{run.experiment} in {run.tracking_uri}" if run.tracking_uri else "not noted"
            cells = (run.status, f"{run.waiting:,}", "yes" if run.resumable else "no", where)
            if run.problem:
                cells = ("UNUSABLE", "", "", run.problem)
            made.add_row(*map(cell, (run.name, run.run_id[:8], *cells)))
        console().print(made)
        suggest("cvexp train --resume RUN", "cvexp sync", "cvexp sync --discard RUN")

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
        say(f"discarded {run.name or run.run_id} ({run.run_id[:12]}){lost}")

    @staticmethod
    def document(run: Leftover) -> dict[str, Any]:
        """The run for `--json`."""
        return {"discarded": asdict(run)}
