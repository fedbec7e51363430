"""`cvexp ui`."""

import time
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.errors import Interrupted
from cvexp.settings import ADMIN, LOOPBACK, store_settings

PORT = 5000

_HOST = (
    "The address to listen on. The default can be reached from this machine alone; on any other, "
    "the pages ask for a password."
)


def ui(
    *,
    host: Annotated[str, typer.Option(help=_HOST)] = LOOPBACK,
    port: Annotated[int, typer.Option(help="The port to listen on.", min=1, max=65535)] = PORT,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
) -> None:
    """Show the runs in MLflow's own pages until Ctrl-C."""
    from cvexp.jobs.ui import serving
    from cvexp.report.terminal import hint

    settings = store_settings(tracking_uri, experiment)
    try:
        with serving(settings, host=host, port=port) as served:
            typer.echo(served.link)
            if settings.tracking_uri.startswith("http"):
                return
            if served.password_file is not None:
                hint(f"sign in as {ADMIN}; the password stands in {served.password_file}")
            hint("Ctrl-C ends it")
            while True:
                time.sleep(3600)
    except Interrupted:
        raise
    except KeyboardInterrupt:
        hint("ended")
