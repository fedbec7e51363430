"""`cvexp register`."""

from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import GateError
from cvexp.settings import store_settings

_RUN = "A run, by its id, a unique prefix of it, its name, @last, @best or models:/NAME@ALIAS."
_NAME = "The registered model that it becomes a version of; made where there is none."
_ALIAS = "A name for this version that moves from version to version, such as champion."
_IF_BETTER = "Move the alias only to a better version, or to one that is tied with the present one and faster."
_MARGIN = "Differences of accuracy below so many percentage points count as none."


def register(
    run: Annotated[str, typer.Argument(help=_RUN)],
    *,
    name: Annotated[str, typer.Option(help=_NAME)],
    alias: Annotated[str | None, typer.Option(help=_ALIAS)] = None,
    if_better: Annotated[bool, typer.Option("--if-better", help=_IF_BETTER)] = False,
    margin: Annotated[float, typer.Option(help=_MARGIN)] = 0.5,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Register a run's logged model in MLflow's model registry, with what was measured of it as tags.

    The same run is registered once under a name. Wherever a run is named, models:/NAME@ALIAS and models:/NAME/VERSION
    mean the run behind that version.

    With --if-better the version is registered in any case; exit code 4 says that the alias stays where it was. It
    moves where `cvexp compare` finds the new version better on the same test images, or tied with the present one
    and its latency for one image more than 5% lower, and where it means no version yet.
    """
    from cvexp.comparison.request import Request
    from cvexp.jobs.register import run as job
    from cvexp.report import register as report

    store, margin = store_settings(tracking_uri, experiment), Request(margin=margin / 100).margin
    result = job(run, store, name=name, alias=alias, if_better=if_better, margin=margin)
    selector = f"models:/{name}@{alias}" if result.alias is not None and result.alias.moved else result.uri
    then = (store.command("evaluate", selector), store.command("export", selector))
    present(result, report, as_json=as_json, then=then)
    if result.alias is not None and not result.alias.moved:
        raise GateError(*report.why_it_stays(result), "move it anyway: leave out --if-better")
