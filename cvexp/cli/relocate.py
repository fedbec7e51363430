"""`cvexp relocate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.cli.rm import agreed
from cvexp.settings import store_settings

_FROM = "The folder as it is recorded; everything below it is meant. Without it, what is found to be moved."
_TO = "Where its content is now."
_YES = "Do it, and ask nothing."


def relocate(
    *,
    old: Annotated[Path | None, typer.Option("--from", metavar="FOLDER", help=_FROM)] = None,
    new: Annotated[Path | None, typer.Option("--to", metavar="FOLDER", help=_TO)] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help=_YES)] = False,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Rewrite where a local store has its artifacts, after its folder was moved or renamed.

    MLflow records absolute folders, and its pages and client find nothing in a store that was moved. The database is
    backed up first; while a run is under way nothing is rewritten.
    """
    from cvexp.jobs import relocate as job
    from cvexp.report import relocate as report

    settings = store_settings(tracking_uri, experiment)
    found = job.plan(settings, old=old, new=new)
    is_work = bool(found.planned.changes or found.planned.journals)
    if yes and is_work:
        present(job.carry_out(settings, found), report, as_json=as_json, then=[settings.command("compare")])
        return
    present(found, report, as_json=as_json)
    if is_work and not as_json and agreed("nothing was rewritten"):
        present(job.carry_out(settings, found), report, as_json=False, then=[settings.command("compare")])
