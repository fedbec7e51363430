"""`cvexp serve`."""

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.settings import LOOPBACK, store_settings

PORT = 8000
MIB = 2**20

_MODEL = "A run, as for other verbs, an exported file, or models:/NAME@ALIAS of the registry."
_HOST = "The address to listen on. By default this machine alone can reach it; on any other, requests need a token."
_ACCESS = "A file with the token that requests have to bring. Without it: CVEXP_SERVE_TOKEN."
_BATCH = "Images of one forward pass; those that came while the last one ran go together."
_WAIT = "Wait so long for more images before a forward pass."
_LOOK_UP = "Seconds between two looks at what an alias means; 0 for never."
_DOCKERFILE = "Do not serve: write what an image is built from to this new folder."


def serve(
    run: Annotated[str, typer.Argument(help=_MODEL, metavar="MODEL")],
    *,
    host: Annotated[str, typer.Option(help=_HOST)] = LOOPBACK,
    port: Annotated[int, typer.Option(help="The port to listen on; 0 for any free one.", min=0, max=65535)] = PORT,
    token_file: Annotated[Path | None, typer.Option(help=_ACCESS)] = None,
    max_batch: Annotated[int, typer.Option(help=_BATCH, min=1, max=4096)] = 32,
    max_wait_ms: Annotated[float, typer.Option(help=_WAIT, min=0, max=10_000)] = 0.0,
    max_bytes: Annotated[int, typer.Option(help="Largest body of a request.", min=1)] = 10 * MIB,
    timeout: Annotated[float, typer.Option(help="Seconds for a body to arrive.", min=0.1, max=3600)] = 30.0,
    look_up: Annotated[float, typer.Option(help=_LOOK_UP, min=0, max=86_400)] = 5.0,
    threads: Annotated[int | None, typer.Option(help="CPU threads of a forward pass.", min=1, max=1024)] = None,
    dockerfile: Annotated[Path | None, typer.Option(help=_DOCKERFILE, metavar="FOLDER")] = None,
    model: options.TrustedModel = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
) -> None:
    """Answer images over HTTP with classes and probabilities, by ONNX Runtime, until Ctrl-C.

    POST /predict takes image files and arrays; the page at / takes an image that is dropped on it. What is no ONNX
    file yet is exported to one first.
    """
    from cvexp.jobs import serve as job
    from cvexp.report import serve as report

    job.check_installed()
    from cvexp.jobs import serve_image
    from cvexp.serving.limits import Limits

    settings = store_settings(tracking_uri, experiment)
    limits = Limits(max_bytes=max_bytes, timeout=timeout, max_batch=max_batch, max_wait_ms=max_wait_ms)
    if dockerfile is not None:
        written = serve_image.write(
            run, settings, dockerfile, limits=limits, on_export=report.exporting, trusted_factory=model
        )
        report.show_image(written)
        return
    job.run(
        run,
        settings,
        events=report.EVENTS,
        limits=limits,
        host=host,
        port=port,
        token_file=token_file,
        look_up_seconds=look_up,
        n_threads=threads,
        trusted_factory=model,
    )
