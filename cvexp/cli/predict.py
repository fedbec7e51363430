"""`cvexp predict`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.config import RunConfig
from cvexp.errors import ConfigError, DatasetError
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings

_IMAGES = "Image files; without any, a grid of random test images is drawn."
_WRONG = "Draw the most confident mistakes instead, and list all in a CSV."
_OUT = "Where to draw. Without it: predictions.png, or wrong.png."


def predict(
    run: options.RunOrFile,
    images: Annotated[list[Path] | None, typer.Argument(help=_IMAGES, show_default=False)] = None,
    *,
    wrong: Annotated[bool, typer.Option("--wrong", help=_WRONG)] = False,
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    seed: Annotated[int, typer.Option(help="Chooses the random test images.", min=0)] = RunConfig.seed,
    device: options.Device = "auto",
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Say what a trained model sees in image files, or in test images.

    Files of any mode and size are made like the training images, and it says so where that may surprise.
    """
    if images and (wrong or out):
        remedy = "those draw test images; leave one or the other out"
        raise ConfigError("image files go without --wrong and --out", remedy)
    from cvexp.jobs import predict as job
    from cvexp.report import predict as report

    store = store_settings(tracking_uri, experiment, data_dir)
    if images:
        result = job.of_files(run, images, store, device_name=device, trusted_factory=model)
    else:
        result = job.of_test_images(
            run,
            store,
            data_dir=resolve_data_dir(data_dir),
            wrong=wrong,
            out=out or Path("wrong.png" if wrong else "predictions.png"),
            seed=seed,
            device_name=device,
            trusted_factory=model,
        )
    present(result, report, as_json=as_json)
    unread(result.failures)


def unread(failures: Sequence[DatasetError]) -> None:
    """Raise one error about all image files that could not be read, if any."""
    if failures:
        first, *others = failures
        more = [f"and {len(others)} more: " + ", ".join(error.what for error in others)] if others else []
        raise DatasetError(first.what, *more, *first.hints)
