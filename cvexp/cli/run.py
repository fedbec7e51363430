"""`cvexp run`."""

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.compare import commands_after, publish
from cvexp.cli.output import present
from cvexp.settings import data_dir as resolve_data_dir

_FILE = "An experiment file, such as experiments/learnpytorch.yaml."
_DRY = "Say what would be trained, and train nothing."
_AGAIN = "Train even what is trained already, and from the start."
_PLOT = "Where to draw the comparison. Without it: where the file says, below the file's own folder."
_MODEL = "package.module:factory that the file may name, if you trust it; may be repeated."


def run(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help=_FILE)],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_DRY)] = False,
    again: Annotated[bool, typer.Option("--again", help=_AGAIN)] = False,
    plot: Annotated[Path | None, typer.Option(help=_PLOT)] = None,
    model: Annotated[list[str] | None, typer.Option(help=_MODEL)] = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Train every configuration of an experiment file that is not trained yet, then compare them.

    A configuration counts as trained when a finished run of the experiment has every one of its settings. One that
    was interrupted goes on where it stopped, in the same run. The comparison is stored with the newest run, as
    compare --publish does it.
    """
    from cvexp.jobs import experiment as job
    from cvexp.report import experiment as report
    from cvexp.report.repeats import PlanConsole
    from cvexp.report.terminal import print_json

    planned = job.plan(
        file,
        tracking_uri=tracking_uri,
        experiment=experiment,
        data_dir=data_dir,
        again=again,
        trusted_factories=model or (),
    )
    if dry_run:
        if as_json:
            print_json(report.plan_document(planned))
        else:
            report.show_plan(planned)
        return
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
    present(result, report, as_json=as_json, then=commands_after(result.comparison, planned.settings))
    if result.trained:
        publish(result.comparison, planned.settings)
