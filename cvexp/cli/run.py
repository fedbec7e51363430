"""`cvexp run`."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from cvexp.cli import options, sweeping
from cvexp.cli.compare import commands_after, publish
from cvexp.cli.output import present
from cvexp.settings import data_dir as resolve_data_dir

_FILE = "An experiment file, such as experiments/learnpytorch.yaml."
_DRY = "Say what would be trained, and train nothing."
_AGAIN = "Train even what is trained already, and from the start."
_RETRY = "Try the trials of a sweep again that failed."
_PLOT = "Where to draw the comparison. Without it: where the file says, below the file's own folder."
_MODEL = "package.module:factory that the file may name, if you trust it; may be repeated."


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help=_FILE)],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_DRY)] = False,
    again: Annotated[bool, typer.Option("--again", help=_AGAIN)] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help=_RETRY)] = False,
    plot: Annotated[Path | None, typer.Option(help=_PLOT)] = None,
    model: Annotated[list[str] | None, typer.Option(help=_MODEL)] = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Train every configuration of an experiment file that is not trained yet, then compare them; search its sweep.

    A configuration counts as trained when a finished run of the experiment has every one of its settings. One that
    was interrupted goes on where it stopped, in the same run. The comparison is stored with the newest run, as
    compare --publish does it.
    A sweep is begun, goes on, and is extended by the same command. It is never measured on the test images; `confirm`
    in the file trains the best points with fresh seeds, and measures the one to pick.
    """
    from cvexp.executors.registry import open_executor
    from cvexp.jobs import experiment as job
    from cvexp.jobs.sweep_plan import plan as plan_sweep
    from cvexp.report import experiment as report
    from cvexp.report.repeats import PlanConsole
    from cvexp.report.terminal import print_json

    store = {"tracking_uri": tracking_uri, "experiment": experiment, "data_dir": data_dir}
    planned = job.plan(file, **store, again=again, trusted_factories=model or ())
    sweep = plan_sweep(file, **store, trusted_factories=model or ())
    sweeping.check_flags(sweep, again=again, retry_failed=retry_failed)
    rest: dict[str, Any] = {}
    if dry_run:
        if planned.steps and as_json:
            rest = report.plan_document(planned)
        elif planned.steps:
            report.show_plan(planned)
        if sweep is not None:
            sweeping.show_outlook(sweep, as_json=as_json, beside=rest)
        elif as_json:
            print_json(rest)
        return
    if planned.steps:
        with PlanConsole(planned.steps, started=ctx.obj["started"]) as console:
            result = job.run(
                planned,
                data_dir=resolve_data_dir(data_dir),
                plot=plot,
                command=["cvexp", *ctx.obj["arguments"]],
                observer=console,
                on_skip=console.skipped,
                on_end=console.ended,
            )
        if as_json and sweep is not None:
            rest = report.document(result)
        else:
            present(result, report, as_json=as_json, then=commands_after(result.comparison, planned.settings))
        if result.trained:
            publish(result.comparison, planned.settings)
    if sweep is not None:
        sweeping.run_sweep(
            sweep,
            data_dir=resolve_data_dir(data_dir),
            open_executor=partial(open_executor, "inline"),
            retry_failed=retry_failed,
            command=["cvexp", *ctx.obj["arguments"]],
            plot=plot or planned.plot_path,
            as_json=as_json,
            beside=rest,
        )
