"""How `cvexp run` goes on with a file's sweep and shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, CvexpError, DeliveryError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from cvexp.jobs.experiment import Plan
    from cvexp.jobs.sweep import SweepResult
    from cvexp.jobs.sweep_plan import SweepPlan
    from cvexp.jobs.workers import Place


def check_flags(planned: SweepPlan | None, *, again: bool, retry_failed: bool) -> None:
    """Refuse flags that have no use for the file."""
    if planned is None and retry_failed:
        raise ConfigError(
            "--retry-failed is for sweeps, and this file has none", "runs that failed are trained again anyway"
        )
    if planned is not None and again:
        raise ConfigError(
            "--again cannot be given for a file with a sweep", "another `seed` of the sweep tries other points"
        )


def show_plan(planned: Plan, sweep: SweepPlan | None, *, as_json: bool) -> None:
    """Print what a file would train: its runs, and what its sweep has and goes on with."""
    from cvexp.jobs.sweep_plan import outlook
    from cvexp.report import experiment as report_runs
    from cvexp.report import sweep as report
    from cvexp.report.terminal import print_json

    shows_runs = bool(planned.steps) or sweep is None
    found = None if sweep is None else outlook(sweep, most=report.UPCOMING)
    if as_json:
        runs = report_runs.plan_document(planned) if shows_runs else {}
        print_json({**runs, **({} if found is None else report.outlook_document(found))})
        return
    if shows_runs:
        report_runs.show_plan(planned)
    if found is not None:
        report.show_outlook(found)


def run_sweep(
    planned: SweepPlan,
    *,
    data_dir: Path,
    n_workers: int | None,
    where: Place | None,
    full: bool,
    retry_failed: bool,
    command: Sequence[str],
    plot: Path | None,
    as_json: bool,
    beside: Mapping[str, Any],
) -> None:
    """Go on with the sweep, print it, draw it, and put it where MLflow's pages show it.

    `beside` is the rest of the JSON object.
    """
    from cvexp.jobs import sweep as job
    from cvexp.report import sweep as report
    from cvexp.report.terminal import print_json, suggest

    with report.SweepConsole(planned.sweep) as watcher:
        result = job.run(
            planned,
            data_dir=data_dir,
            n_workers=n_workers,
            where=where,
            full=full,
            retry_failed=retry_failed,
            command=command,
            watcher=watcher,
        )
    if as_json:
        print_json({**beside, **report.document(result)})
    else:
        report.show(result)
    _picture(result, plot)
    if not as_json:
        suggest(*report.next_commands(result))
    if result.undelivered:
        raise DeliveryError(
            f"{result.undelivered} records of this sweep wait to be delivered: {result.trouble or 'no answer yet'}",
            f"nothing is lost; deliver them: {planned.settings.command('sync')}",
        )


def _picture(result: SweepResult, plot: Path | None) -> None:
    """Draw beside the file's picture if it names one, and store the pictures with the best run."""
    from cvexp.jobs.sweep_pictures import draw, publish
    from cvexp.report.terminal import hint

    if plot is not None:
        for path in draw(result, plot):
            hint(f"drawn to {path}")
    if result.trained and not result.undelivered:
        try:
            run_id = publish(result)
            hint(f"stored in MLflow: sweep/ of run {run_id[:12]}, and the view 'Sweep {result.plan.path.stem}'")
        except CvexpError as error:
            hint(f"not stored in MLflow's pages: {error.what}")
