"""`cvexp reproduce`."""

from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import GateError
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings

_RUN = "A run, by its id, a unique prefix of it, its name, @last, @best or models:/NAME@ALIAS."
_CHECK = "Train it again, and say whether the figures agree."
_DEVICE = "Where --check trains it. Without it, where the run asked for."


def reproduce(
    run: Annotated[str, typer.Argument(help=_RUN)],
    *,
    check: Annotated[bool, typer.Option("--check", help=_CHECK)] = False,
    device: Annotated[str | None, typer.Option(help=_DEVICE)] = None,
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Say how a run was made and what differs here: command, code, versions, data, device.

    With --check it is trained again, without a run of its own. On the same device, with the same code, versions
    and data, its figures have to agree bit for bit, elsewhere within what the seed alone changes; exit code 4
    says that they do not.
    """
    from cvexp.jobs.reproduce import run as job
    from cvexp.report import reproduce as report

    store = store_settings(tracking_uri, experiment, data_dir)
    result = job(
        run,
        store,
        data_dir=resolve_data_dir(data_dir),
        check=check,
        device_name=device,
        trusted_factory=model,
        observer=report.progress,
    )
    factory = ("--model", model) if model else ()
    then = () if check else (store.command("reproduce", result.run.run_id[:12], "--check", *factory),)
    present(result, report, as_json=as_json, then=then)
    if check and result.other_data:
        raise GateError(
            f"{result.run.name} was trained on other data than there are here", "name its folder: --data-dir"
        )
    if result.check is not None and not result.check.agrees:
        raise GateError(f"{result.run.name} does not give the figures it recorded")
