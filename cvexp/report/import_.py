"""How `cvexp import` is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.report.terminal import cell, console, say, table
from cvexp.runs import ID_DIGITS

if TYPE_CHECKING:
    from cvexp.jobs.import_ import ImportResult

N_SHOWN = 10
"""Runs that are listed one by one, with as many metrics as fit."""


def show(result: ImportResult) -> None:
    """Print the first runs with their figures, and how many were new."""
    made = table("run", "id", "settings", "metrics")
    for column in (made.columns[0], *made.columns[2:]):
        column.overflow = "fold"
    for run_id, run in result.runs[:N_SHOWN]:
        settings = " ".join(f"{name}={value}" for name, value in run.params.items())
        metrics = " ".join(f"{key}={value:.4g}" for key, value in run.metrics.items())
        made.add_row(*map(cell, (run.name, run_id[:ID_DIGITS], settings, metrics)))
    console().print(made)
    n, new = len(result.runs), len(result.runs) - result.n_known
    more = f", the first {N_SHOWN} of them above" if n > N_SHOWN else ""
    known = f"; {result.n_known:,} were there already" if result.n_known else ""
    verb = "imported into" if result.done else "would be imported into"
    say(f"{n:,} run{'' if n == 1 else 's'} read{more}: {new:,} {verb} experiment {result.experiment}{known}")


def document(result: ImportResult) -> dict[str, Any]:
    """The runs for `--json`."""
    return {
        "done": result.done,
        "experiment": result.experiment,
        "new": len(result.runs) - result.n_known,
        "known": result.n_known,
        "runs": [
            {
                "run_id": run_id or None,
                "name": run.name or None,
                "status": run.status,
                "params": dict(run.params),
                "metrics": dict(run.metrics),
                "source": run.source,
            }
            for run_id, run in result.runs
        ],
    }
