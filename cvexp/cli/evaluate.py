"""`cvexp evaluate`."""

import shlex
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import GateError
from cvexp.redaction import without_credentials
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings


def evaluate(
    ctx: typer.Context,
    run: options.RunOrFile,
    *,
    dataset: Annotated[str | None, typer.Option(help="Another dataset than the run's, of the same shape.")] = None,
    device: options.Device = "auto",
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate a run's stored weights on the test split, and check them against what the run logged.

    The weights are read only when their digest is the recorded one. Exit code 4 says that on the same device
    and data they give other figures than the run logged.
    """
    from cvexp.jobs.evaluate import run as job
    from cvexp.report import evaluate as report

    result = job(
        run,
        store_settings(tracking_uri, experiment, data_dir),
        data_dir=resolve_data_dir(data_dir),
        dataset_name=dataset,
        device_name=device,
        trusted_factory=model,
    )
    present(result, report, as_json=as_json)
    if not result.gate_holds:
        again = shlex.join(without_credentials(word) for word in ("cvexp", *ctx.obj["arguments"]))
        raise GateError(f"{result.name} does not give the figures it logged", f"see both: {again} --json")
