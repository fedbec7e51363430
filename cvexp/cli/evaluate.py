"""`cvexp evaluate`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import GateError
from cvexp.redaction import without_credentials
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings

MOST_DRAWN = 100
_RELIABILITY = "Draw accuracy against confidence to this picture."
_LABEL_ERRORS = "List and draw this many images whose label is probably wrong; all are in a CSV beside the picture."
_GRID = "Where --label-errors draws."
_WITH = "A run that has to agree on label errors, by its stored records; may be repeated, such as for other seeds."
_STORE = "Add per-image records to a run that has none; without it, nothing is written to the store."


def evaluate(
    ctx: typer.Context,
    run: options.RunOrFile,
    *,
    dataset: Annotated[str | None, typer.Option(help="Another dataset than the run's, of the same shape.")] = None,
    reliability: Annotated[Path | None, typer.Option(help=_RELIABILITY)] = None,
    label_errors: Annotated[int | None, typer.Option(help=_LABEL_ERRORS, min=1, max=MOST_DRAWN)] = None,
    grid: Annotated[Path, typer.Option(help=_GRID)] = Path("label_errors.png"),
    others: Annotated[list[str] | None, typer.Option("--with", help=_WITH, metavar="RUN")] = None,
    store: Annotated[bool, typer.Option("--store", help=_STORE)] = False,
    device: options.Device = "auto",
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate a run's stored weights on the test split, and check them against what the run logged.

    Beside accuracy and loss it says how far the probabilities can be trusted: top-k accuracy, Brier score, and the
    expected calibration error (ECE) with its 95% interval.

    The weights are read only when their digest is the recorded one. Exit code 4 says that on the same device
    and data they give other figures than the run logged.
    """
    from cvexp.jobs.evaluate import Wanted
    from cvexp.jobs.evaluate import run as job
    from cvexp.report import evaluate as report

    result = job(
        run,
        store_settings(tracking_uri, experiment, data_dir),
        data_dir=resolve_data_dir(data_dir),
        dataset_name=dataset,
        device_name=device,
        trusted_factory=model,
        wanted=Wanted(
            reliability=reliability,
            n_label_errors=label_errors,
            label_errors=grid,
            others=tuple(others or ()),
            store=store,
        ),
    )
    present(result, report, as_json=as_json)
    if not result.gate_holds:
        again = shlex.join(without_credentials(word) for word in ("cvexp", *ctx.obj["arguments"]))
        raise GateError(f"{result.name} does not give the figures it logged", f"see both: {again} --json")
    if store and result.stored is None:
        raise GateError(
            f"no records are stored: on {result.device_name} {result.name} does not give the figures it logged",
            "evaluate it on the device it was trained on: --device",
        )
