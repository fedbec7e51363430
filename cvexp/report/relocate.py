"""How `cvexp relocate` is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report.terminal import say

if TYPE_CHECKING:
    from cvexp.jobs.relocate import Relocated


def show(result: Relocated) -> None:
    """Print the folders, what changes of the store, and whether artifacts are there."""
    planned = result.planned
    if not (planned.changes or planned.journals):
        say(f"nothing is recorded below {next(iter(planned.moved))}" if planned.moved else "nothing was moved")
        return
    for old, new in planned.moved.items():
        say(f"from  {old}")
        say(f"to    {new}")
    counts = [f"{n:,} in {place}" for place, n in planned.counts.items()]
    if planned.journals:
        counts.append(f"{len(planned.journals):,} in journals")
    say(f"{'rewritten' if result.done else 'to rewrite'}: {', '.join(counts)}")
    if planned.n_runs:
        say(f"artifacts are there for {planned.n_found:,} of {planned.n_runs:,} runs")
    for place in planned.missing:
        say(f"  missing: {place}", "yellow")
    if result.backup:
        say(f"the database as it was: {result.backup}")


def document(result: Relocated) -> dict[str, Any]:
    """The plan or the result for `--json`."""
    planned = result.planned
    return {
        "done": result.done,
        "moved": [{"from": str(old), "to": str(new)} for old, new in planned.moved.items()],
        "changes": planned.counts,
        "journals": len(planned.journals),
        "runs": planned.n_runs,
        "runs_with_artifacts": planned.n_found,
        "missing": list(planned.missing),
        "backup": result.backup,
    }
