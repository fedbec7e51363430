"""`cvexp confmat`."""

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings

_NORMALIZE = "none for counts; true, pred or all for shares of the true class, the predicted one or all."
_OUT = "Where to draw. Without it: confusion_matrix.png, or confusion_difference.png."
_VS = "Subtract the matrix of this run or file, which was tested on the same images; of repeats, the named run alone."


def confmat(
    run: options.RunOrFile,
    *,
    vs: Annotated[str | None, typer.Option(help=_VS)] = None,
    normalize: Annotated[str, typer.Option(help=_NORMALIZE)] = "none",
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    device: options.Device = "auto",
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Draw a run's confusion matrix from its weights, and name the most confused pairs.

    With --vs, draw how it differs from another run's, and name the pairs that changed most.

    The picture is logged to the run too.
    """
    from cvexp.jobs.confmat import run as job
    from cvexp.report import confmat as report

    result = job(
        run,
        store_settings(tracking_uri, experiment, data_dir),
        data_dir=resolve_data_dir(data_dir),
        vs=vs,
        normalize=normalize,
        out=out,
        device_name=device,
        trusted_factory=model,
    )
    present(result, report, as_json=as_json)
