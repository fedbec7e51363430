"""Several attempts at one trial, on machines that can be lost: which run counts.

A driver that loses a worker cannot know whether it has ended: its cable may be cut. So the driver gives the run up
before it lets another attempt begin, and a run that was given up never becomes FINISHED, whatever its process delivers
later. Of the runs of a trial, so, one at most is FINISHED.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from cvexp.tracking.liveness import GIVEN_UP, is_gone, process_key, process_tags
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.queries import search
from cvexp.tracking.store import existing_run, open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient

    from cvexp.settings import StoreSettings

TRIAL, EXECUTOR, DRIVER = "cvexp.trial", "cvexp.executor", "cvexp.driver"
"""Tags of an attempt's run; the last two only where another machine may run it."""

SUPERSEDED = "the driver gave this attempt up, and another one counts"


def remote_tags(executor: str) -> dict[str, str]:
    """Tags of runs whose worker this process cannot watch: what runs them, and that this process is their driver."""
    return {EXECUTOR: executor, DRIVER: json.dumps(process_tags())}


def give_up(settings: StoreSettings, run_id: str, reason: str) -> str:
    """Let a run whose worker is lost never count, and close it in the store as KILLED; returns the status it has now.

    A run that the store has as FINISHED stays so, and counts.

    Raises:
        StoreError: The store cannot be asked.
    """
    store = open_store(settings, create=False)
    with translated(settings):
        run = existing_run(store, run_id)
        if run is None or run.info.status in ("FINISHED", "FAILED"):
            return "KILLED" if run is None else str(run.info.status)
        # In this order: a worker that ends its run reads the tag after it has set the status.
        store.client.set_tag(run_id, GIVEN_UP, process_key(run.data.tags))
        store.client.set_tag(run_id, "cvexp.end_reason", reason)
        store.client.set_terminated(run_id, "KILLED")
    return "KILLED"


def give_up_orphans(settings: StoreSettings) -> list[str]:
    """Give up the experiment's runs that the store calls RUNNING and whose driver has certainly ended; their ids.

    The workers of a driver that has ended leave as soon as they notice, and none of them is told of another attempt. So
    only the driver that takes over may call this, once it holds the lock.
    """
    orphans = [run.run_id for run in search(open_store(settings, create=False), status="RUNNING") if _orphan(run.tags)]
    for run_id in orphans:
        give_up(settings, run_id, "the driver is gone")
    return orphans


def _orphan(tags: Mapping[str, str]) -> bool:
    try:
        driver = json.loads(tags[DRIVER])
        return is_gone({str(name): str(value) for name, value in driver.items()})
    except (KeyError, ValueError, AttributeError):
        return False


def is_superseded(client: MlflowClient, run: Any, tags: Mapping[str, str]) -> bool:
    """Whether a run of MLflow's, whose process `tags` describe, was given up, or a later attempt at its trial counts.

    The latter is a run that the driver did not know of, since the store could not be reached when it began.
    """
    if run.data.tags.get(GIVEN_UP) == process_key(tags):
        return True
    trial = tags.get(TRIAL, "")
    if not trial or "'" in trial:
        return False
    later = client.search_runs(
        [run.info.experiment_id],
        f"tags.`{TRIAL}` = '{trial}' and attributes.start_time > {run.info.start_time}",
        order_by=["attributes.start_time DESC"],
        max_results=20,
    )
    return any(one.info.status in ("RUNNING", "FINISHED") for one in later if one.info.run_id != run.info.run_id)
