"""How `cvexp rm` is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report.terminal import cell, console, say, table
from cvexp.runs import ID_DIGITS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.jobs.rm import Removal
    from cvexp.runs import RunSummary
    from cvexp.tracking.removal import Stored

N_SHOWN = 50
"""Runs that are listed one by one."""


def show(removal: Removal) -> None:
    """Print the runs that go or went, with their sizes, and those that stay, with the reason."""
    n = len(removal.runs)
    runs = f"{n:,} run{'' if n == 1 else 's'}"
    where = "for good" if removal.purge else "to MLflow's trash"
    if removal.done:
        say(f"{runs} went {where}{_freed(removal)}")
        return
    if n:
        made = table("run", "id", "status", "started", ">size")
        made.columns[0].overflow = "fold"
        for one in removal.runs[:N_SHOWN]:
            run = one.run
            state = f"{run.status}, in the trash" if one.in_trash else run.status
            started = f"{run.started_at:%Y-%m-%d %H:%M}"
            made.add_row(*map(cell, (run.name, run.run_id[:ID_DIGITS], state, started, _size(one.n_bytes))))
        console().print(made)
        more = f"; {n - N_SHOWN:,} of them are not listed" if n > N_SHOWN else ""
        say(f"{runs} would go {where}{_freed(removal)}{more}")
    else:
        say("no run would be removed")
    for one in removal.kept[:N_SHOWN]:
        say(f"stays: {one.run.name or one.run.run_id}: {one.refusal}")


def _freed(removal: Removal) -> str:
    return f", {_size(removal.n_bytes)} in all" if removal.purge and removal.n_bytes is not None else ""


def _size(n_bytes: int | None) -> str:
    return "?" if n_bytes is None else f"{n_bytes / 1e6:,.1f} MB"


def document(removal: Removal) -> dict[str, Any]:
    """The plan or the result for `--json`."""
    return {
        "done": removal.done,
        "purge": removal.purge,
        "bytes": removal.n_bytes,
        "runs": [_run(one) for one in removal.runs],
        "kept": [_run(one) | {"reason": one.refusal} for one in removal.kept],
    }


def _run(one: Stored) -> dict[str, Any]:
    return {
        "run_id": one.run.run_id,
        "name": one.run.name,
        "status": one.run.status,
        "in_trash": one.in_trash,
        "models": list(one.models),
        "bytes": one.n_bytes,
    }


class Changed:
    """How runs are shown that were restored or protected, with the word for it."""

    def __init__(self, word: str) -> None:
        self.word = word

    def show(self, runs: Sequence[RunSummary]) -> None:
        """Print a line per run."""
        for run in runs:
            say(f"{self.word} {run.name or run.run_id} ({run.run_id[:ID_DIGITS]})")

    def document(self, runs: Sequence[RunSummary]) -> dict[str, Any]:
        """The runs for `--json`."""
        return {self.word.replace(" ", "_"): [{"run_id": run.run_id, "name": run.name} for run in runs]}
