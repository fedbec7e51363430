"""Where `cvexp run` trains a file's runs, and how that is shown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.jobs.experiment import ExperimentResult, Plan
    from cvexp.jobs.workers import Place


def place(executor: str, address: str | None, slot: list[str] | None) -> Place | None:
    """Where to train, if not simply here."""
    from cvexp.executors.slots import slots_given
    from cvexp.jobs.workers import Place

    if executor == "local" and not address and not slot:
        return None
    return Place(executor=executor, address=address, slot=slots_given(slot or ()))


def train(
    planned: Plan, asked: dict[str, Any], *, plot: Path | None, lean: bool | None, started: float
) -> ExperimentResult:
    """Train the file's runs, and show how they do."""
    from cvexp.jobs import experiment as job
    from cvexp.report.repeats import PlanConsole
    from cvexp.report.workers import WorkersConsole
    from cvexp.training.outputs import EVERYTHING, LEAN

    outputs = None if lean is None else LEAN if lean else EVERYTHING
    where, n_workers = asked["where"], asked["n_workers"]
    if where is None and n_workers in (None, 1):
        with PlanConsole(planned.steps, started=started) as one:
            return job.run(
                planned, **asked, plot=plot, outputs=outputs, observer=one, on_skip=one.skipped, on_end=one.ended
            )
    with WorkersConsole(planned.steps, n_workers=n_workers, executor=where.executor if where else "local") as several:
        return job.run(planned, **asked, plot=plot, outputs=outputs, on_skip=several.skipped, on_event=several.happened)
