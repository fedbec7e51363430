"""`cvexp import`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.settings import store_settings

_PATH = (
    "A CSV file with a row for each run (name,model,dataset,lr,accuracy,…; params.NAME and metrics.KEY for other "
    "columns), a JSON file, a folder of such files, or an old mlruns folder of MLflow's file store."
)
_DRY = "Read and validate, and write nothing."


def import_(
    path: Annotated[Path, typer.Argument(help=_PATH, show_default=False)],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help=_DRY)] = False,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Import runs that were logged by hand or by an old MLflow, so that compare lists them.

    The same run is imported once. Times of imported runs are never ranked, since nobody knows how they were measured;
    accuracies only among imported runs on a dataset of the same name.
    """
    from cvexp.jobs.import_ import run
    from cvexp.report import import_ as report

    settings = store_settings(tracking_uri, experiment)
    present(run(path, settings, dry_run=dry_run), report, as_json=as_json, then=[settings.command("compare")])
