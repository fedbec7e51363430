"""`cvexp predict`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.config import RunConfig
from cvexp.errors import ConfigError, DatasetError
from cvexp.settings import data_dir as resolve_data_dir


def predict(
    run: options.RunOrFile,
    images: Annotated[
        list[Path] | None,
        typer.Argument(help="Image files; without any, a grid of random test images is drawn.", show_default=False),
    ] = None,
    *,
    wrong: Annotated[
        bool, typer.Option("--wrong", help="Draw the most confident mistakes instead, and list all in a CSV.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Where to draw. Without it: predictions.png, or wrong.png.", show_default=False)
    ] = None,
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
        raise ConfigError(
            "image files go without --wrong and --out", "those draw test images; leave one or the other out"
        )
    from cvexp.jobs import predict as job
    from cvexp.report import predict as report

    store = options.store(tracking_uri, experiment, data_dir)
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
    if result.failures:
        first, *others = result.failures
        more = [f"and {len(others)} more: " + ", ".join(error.what for error in others)] if others else []
        raise DatasetError(first.what, *more, *first.hints)
