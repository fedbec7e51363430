"""`cvexp export`."""

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.runs import EXPORT_SUFFIXES
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings, typed_flags

_OUT = "The file to write. Without it: models/ and the run's name, with its id where that is another's."


def export(
    run: options.RunOrFile,
    *,
    output: Annotated[str, typer.Option("--format", help=f"{' or '.join(EXPORT_SUFFIXES)}.")] = "state-dict",
    out: Annotated[Path | None, typer.Option(help=_OUT)] = None,
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Write a run's weights as a file of their own, with a card that says how to rebuild the model.

    What was written is read back, and its logits on test images are compared before it says so; exit code 4 if
    they differ.
    """
    from cvexp.jobs.export import run as job
    from cvexp.report import export as report

    store, folder = store_settings(tracking_uri, experiment, data_dir), resolve_data_dir(data_dir)
    result = job(run, store, data_dir=folder, format_name=output, out=out, trusted_factory=model)
    file, flags = [str(result.path), *(("--model", model) if model else ())], typed_flags(data_dir=data_dir)
    then = (flags.command("evaluate", *file), flags.command("predict", *file, "IMAGE"))
    present(result, report, as_json=as_json, then=then)
