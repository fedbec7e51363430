"""`cvexp ui`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.errors import Interrupted

PORT = 5000


def ui(
    *,
    port: Annotated[int, typer.Option(help="Where to listen, on this machine only.", min=1, max=65535)] = PORT,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
) -> None:
    """Show the runs in MLflow's own pages until Ctrl-C."""
    from cvexp.jobs.ui import serving
    from cvexp.report.terminal import hint

    settings = options.store(tracking_uri, experiment)
    try:
        with serving(settings, port=port) as link:
            typer.echo(link)
            if settings.tracking_uri.startswith("http"):
                return
            hint("Ctrl-C ends it")
            while True:
                time.sleep(3600)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        hint("ended")
