"""`cvexp register`."""

from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import GateError
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings

_RUN = "A run, by its id, a unique prefix of it, its name, @last, @best or models:/NAME@ALIAS."
_NAME = "The registered model that it becomes a version of; made where there is none."
_ALIAS = "A name for this version that moves from version to version, such as champion."
_IF_BETTER = "Move the alias only to a better version, or to one that is tied with the present one and faster."
_FORMAT = (
    "logged, the model that the run logged, or onnx: its network exported, proven and timed as by cvexp export, which "
    "MLflow then serves without torch."
)
_BY = "Which accuracy says what is better; in balanced-accuracy each class counts the same, whatever its size."
_MARGIN = "Differences of accuracy below so many percentage points count as none."


def register(
    run: Annotated[str, typer.Argument(help=_RUN)],
    *,
    name: Annotated[str, typer.Option(help=_NAME)],
    alias: Annotated[str | None, typer.Option(help=_ALIAS)] = None,
    if_better: Annotated[bool, typer.Option("--if-better", help=_IF_BETTER)] = False,
    by: Annotated[options.By, typer.Option(help=_BY)] = options.By.ACCURACY,
    margin: Annotated[float, typer.Option(help=_MARGIN)] = 0.5,
    output: Annotated[str, typer.Option("--format", help=_FORMAT)] = "logged",
    model: options.TrustedModel = None,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Register a run's logged model in MLflow's model registry, with what was measured of it as tags.

    The same run is registered once under a name and in a format. Wherever a run is named, models:/NAME@ALIAS and
    models:/NAME/VERSION mean the run behind that version.

    With --if-better the version is registered in any case; exit code 4 says that the alias stays where it was. It
    moves where `cvexp compare` finds the new version better on the same test images, or tied with the present one
    and its latency for one image more than 5% lower, and where it means no version yet.
    """
    from cvexp.comparison.request import Request
    from cvexp.jobs.register import run as job
    from cvexp.report import register as report
    from cvexp.report.terminal import hint

    store = store_settings(tracking_uri, experiment, data_dir)
    result = job(
        run,
        store,
        name=name,
        alias=alias,
        if_better=if_better,
        margin=Request(margin=margin / 100).margin,
        by=by.value,
        format_name=output,
        data_dir=resolve_data_dir(data_dir),
        trusted_factory=model,
        say=hint,
    )
    if result.alias is None or result.alias.moved:
        selector = result.uri if alias is None else f"models:/{name}@{alias}"
        present(result, report, as_json=as_json, then=[store.command(v, selector) for v in ("evaluate", "export")])
        return
    present(result, report, as_json=as_json, then=(store.command("compare", result.uri, f"models:/{name}@{alias}"),))
    anyway = store.command("register", result.uri, "--name", name, "--alias", result.alias.name)
    raise GateError(report.why_it_stays(result.name, result.alias), f"move it anyway: {anyway}")
