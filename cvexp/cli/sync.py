"""`cvexp sync`."""

from __future__ import annotations

from cvexp.cli import options
from cvexp.cli.output import present
from cvexp.errors import DeliveryError


def sync(
    *,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Deliver to the tracking store what earlier runs could not.

    Training never waits long for the store: what it cannot tell stays in a journal under .cvexp, and goes from there
    once, now or when the next command starts.
    """
    from cvexp.jobs.sync import run
    from cvexp.report import sync as report

    store = options.store(tracking_uri, experiment)
    result = run(store)
    present(result, report, as_json=as_json)
    if result.left:
        n_records = sum(result.left.values())
        raise DeliveryError(f"{n_records} records still wait: {result.trouble}", f"try again: {store.command('sync')}")
