"""`cvexp explain`."""

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.cli.predict import unread
from cvexp.config import RunConfig
from cvexp.errors import ConfigError
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings

_IMAGES = "Image files; without any, random test images are explained."
_WRONG = "Explain the run's most confident mistakes on its test images instead."
_OUT = "The folder to draw in."
_STORE = "Add the pictures to the run's artifacts too; without it, nothing is written to the store."


def explain(
    run: options.RunOrFile,
    images: Annotated[list[Path] | None, typer.Argument(help=_IMAGES, show_default=False)] = None,
    *,
    wrong: Annotated[bool, typer.Option("--wrong", help=_WRONG)] = False,
    out: Annotated[Path, typer.Option(help=_OUT)] = Path(),
    store: Annotated[bool, typer.Option("--store", help=_STORE)] = False,
    seed: Annotated[int, typer.Option(help="Chooses the random test images.", min=0)] = RunConfig.seed,
    device: options.Device = "auto",
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Draw what a trained model sees in images.

    One picture shows where it finds the evidence for two classes (Grad-CAM): the predicted one, and the true one
    or the runner-up. Another shows the image layer by layer: what each convolution, ReLU and pooling makes of it.

    A model without convolutions has no maps; for it, the gradient of each class's score by the pixels is drawn.
    """
    if images and wrong:
        raise ConfigError("image files go without --wrong", "it explains test images; leave one or the other out")
    from cvexp.jobs import explain as job
    from cvexp.report import explain as report

    settings = store_settings(tracking_uri, experiment, data_dir)
    if images:
        result = job.of_files(run, images, settings, out=out, store=store, device_name=device, trusted_factory=model)
    else:
        result = job.of_test_images(
            run,
            settings,
            data_dir=resolve_data_dir(data_dir),
            wrong=wrong,
            seed=seed,
            out=out,
            store=store,
            device_name=device,
            trusted_factory=model,
        )
    present(result, report, as_json=as_json)
    unread(result.failures)
