"""`cvexp sync`."""

from __future__ import annotations

import shlex
from collections.abc import Sized
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import ConfigError, DeliveryError
from cvexp.settings import StoreSettings, store_settings

if TYPE_CHECKING:
    from cvexp.tracking.recovery import SyncResult

SECONDS = 60.0
"""How long to wait for a store that makes no progress."""
_LIST = "List the runs that have a folder here, and deliver nothing."
_DISCARD = "Remove the folder of one run: the records that wait in it, and its checkpoints."
_TO = "Deliver everything that waits here to this MLflow store, whatever store it belongs to."


def sync(
    *,
    show_list: Annotated[bool, typer.Option("--list", help=_LIST)] = False,
    discard: Annotated[str | None, typer.Option(metavar="RUN", help=_DISCARD)] = None,
    to: Annotated[str | None, typer.Option(metavar="URI", help=_TO)] = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Deliver to the tracking store what earlier runs could not.

    Training never waits long for the store: what it cannot deliver stays in a journal under .cvexp, and is delivered
    from there once, to the store and the experiment it belongs to, now or when the next command starts.
    """
    from cvexp.report import sync as report
    from cvexp.tracking import local, recovery
    from cvexp.tracking.checks import check_settings

    if show_list + (discard is not None) + (to is not None) > 1:
        raise ConfigError("--list, --discard and --to exclude each other", "give one of them")
    settings = store_settings(tracking_uri, experiment)
    if show_list:
        present(local.leftovers(settings), report.Leftovers, as_json=as_json)
    elif discard is not None:
        present(local.discard(settings, discard), report.Discarded, as_json=as_json)
    else:
        target = None if to is None else replace(store_settings(to, experiment), experiment=settings.experiment)
        check_settings(target or settings, create=True)
        if target is None:
            result = recovery.sync(settings, seconds=SECONDS)
        else:
            result = recovery.send_to(target, settings, seconds=SECONDS)
        present(result, report, as_json=as_json)
        _raise_for(result, settings)


def _raise_for(result: SyncResult, settings: StoreSettings) -> None:
    """Raise DeliveryError where records still wait."""
    if result.left:
        n_records, again = sum(result.left.values()), settings.command("sync")
        raise DeliveryError(f"{n_records} records still wait: {result.trouble}", f"try again: {again}")
    if result.damaged:
        name, what = next(iter(result.damaged.items()))
        discard = settings.command("sync", "--discard", name)
        raise DeliveryError(f"{what}{_more(result.damaged, settings)}", f"restore it, or give it up: {discard}")
    if result.elsewhere:
        first, others = result.elsewhere[0], _more(result.elsewhere, settings)
        uri = first.tracking_uri
        where, way = (uri, f"--tracking-uri {shlex.quote(uri)}") if uri else ("a store that is not noted", "--to URI")
        raise DeliveryError(
            f"{first.waiting} records of run {first.name} wait for another store, {where}{others}",
            f"deliver them there: cvexp sync {way}",
        )


def _more(runs: Sized, settings: StoreSettings) -> str:
    return f" (and {len(runs) - 1} more: {settings.command('sync', '--list')})" if len(runs) > 1 else ""
