"""`cvexp run`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cvexp.cli import options, sweeping
from cvexp.cli import workers as running
from cvexp.cli.compare import commands_after, publish
from cvexp.cli.output import present
from cvexp.settings import data_dir as resolve_data_dir

_FILE = "An experiment file, such as experiments/learnpytorch.yaml."
_DRY = "Say what would be trained, and train nothing."
_AGAIN = "Train even what is trained already, and from the start."
_RETRY = "Try the trials of a sweep again that failed."
_PLOT = "Where to draw the comparison. Without it: where the file says, below the file's own folder."
_WORKERS = "Train so many runs at once, each in a process of its own with its share of the CPUs and a GPU of its own."
_EXECUTOR = "Where to train: local (this machine), ray (a cluster) or slurm (a queue); see docs/cluster.md."
_ADDRESS = "The Ray cluster's, such as 10.0.0.1:6379; local starts one here, and with slurm runs its jobs here."
_SLOT = "What each worker has on a cluster: cpus=4, gpus=1, with slurm partition=NAME too; may be repeated."
_LEAN = "Draw no pictures and log no model for other software; confmat, predict and export make them later."
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
    workers: Annotated[int | None, typer.Option(metavar="N", help=_WORKERS)] = None,
    executor: Annotated[str, typer.Option(metavar="NAME", help=_EXECUTOR)] = "local",
    address: Annotated[str | None, typer.Option(metavar="HOST:PORT", help=_ADDRESS)] = None,
    slot: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help=_SLOT)] = None,
    lean: Annotated[bool | None, typer.Option("--lean/--full", help=_LEAN, show_default=False)] = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Train every configuration of an experiment file that is not trained yet, then compare them.

    A configuration counts as trained when a finished run of the experiment has every one of its settings. One that
    was interrupted goes on where it stopped, in the same run. The comparison is stored with the newest run, as
    compare --publish does it.
    A sweep is begun, goes on, and is extended by the same command. It is never measured on the test images; `confirm`
    in the file trains the best points with fresh seeds, and measures the one to pick.

    Ctrl-C keeps a checkpoint of every run under way; the same command goes on. A second one leaves at once.
    """
    from cvexp.jobs import experiment as job
    from cvexp.jobs.sweep_plan import plan as plan_sweep
    from cvexp.report import experiment as report

    sweep = plan_sweep(
        file, tracking_uri=tracking_uri, experiment=experiment, data_dir=data_dir, trusted_factories=model or ()
    )
    sweeping.check_flags(sweep, again=again, retry_failed=retry_failed)
    where = running.place(executor, address, slot)
    planned = job.plan(
        file,
        tracking_uri=tracking_uri,
        experiment=experiment,
        data_dir=data_dir,
        again=again,
        trusted_factories=model or (),
        offline=where is not None or workers not in (None, 1) or sweep is not None,
        n_workers=workers if where is None else None,
    )
    if dry_run:
        sweeping.show_plan(planned, sweep, as_json=as_json)
        return
    asked: dict[str, Any] = {
        "data_dir": resolve_data_dir(data_dir),
        "command": ["cvexp", *ctx.obj["arguments"]],
        "n_workers": workers,
        "where": where,
    }
    rest: dict[str, Any] = {}
    if planned.steps:
        result = running.train(planned, asked, plot=plot, lean=lean, started=ctx.obj["started"])
        if as_json and sweep is not None:
            rest = report.document(result)
        else:
            present(result, report, as_json=as_json, then=commands_after(result.comparison, planned.settings))
        if result.trained:
            publish(result.comparison, planned.settings)
    if sweep is not None:
        sweeping.run_sweep(
            sweep,
            **asked,
            full=lean is False,
            retry_failed=retry_failed,
            plot=plot or planned.plot_path,
            as_json=as_json,
            beside=rest,
        )
