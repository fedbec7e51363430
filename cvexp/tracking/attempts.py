"""Several attempts at one trial, on machines that can be lost: which run counts.

A driver that loses a worker cannot know whether it has ended: its cable may be cut. So the driver gives the run up
before it lets another attempt begin, and a run that was given up never becomes FINISHED, whatever its process delivers
later. Of the runs of a trial, so, one at most is FINISHED.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cvexp.errors import CvexpError
from cvexp.tracking.liveness import GIVEN_UP, is_gone, process_key, process_tags
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.queries import find, search
from cvexp.tracking.rows import Fields
from cvexp.tracking.store import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlflow import MlflowClient

    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings

TRIAL, EXECUTOR, DRIVER = "cvexp.trial", "cvexp.executor", "cvexp.driver"
"""Tags of an attempt's run; the last two only where another machine may run it."""

SUPERSEDED = "the driver gave this attempt up, and another one counts"


def remote_tags(executor: str) -> dict[str, str]:
    """Tags of runs whose worker this process cannot watch: what runs them, and that this process is their driver."""
    return {EXECUTOR: executor, DRIVER: json.dumps(process_tags())}


def give_up(settings: StoreSettings, run_id: str, reason: str) -> RunSummary:
    """Let a run whose worker is lost never count, and close it in the store as KILLED; returns it as it is then.

    A run that the store has as FINISHED or FAILED stays so: its worker was lost after its end.

    Raises:
        RunError: The store does not have it, since its worker could not reach the store.
        StoreError: The store cannot be asked.
    """
    store = open_store(settings, create=False)
    run = find(store, run_id).run
    if run.status in ("FINISHED", "FAILED"):
        return run
    with translated(settings):
        # In this order: a worker that ends its run looks for the tag after it has set the status.
        store.client.set_tag(run.run_id, GIVEN_UP, process_key(run.tags))
        store.client.set_tag(run.run_id, "cvexp.end_reason", reason)
        store.client.set_terminated(run.run_id, "KILLED")
    return replace(run, status="KILLED")


def close_orphans(settings: StoreSettings) -> list[str]:
    """Close the experiment's runs that the store calls RUNNING and whose driver has certainly ended; their ids.

    For the driver that takes over, once it holds the lock; a store that does not answer is left as it is. The workers
    of a driver that has ended leave as soon as they notice; until then one may still finish, which counts unless the
    new driver's attempt has begun.
    """
    closed = []
    with contextlib.suppress(CvexpError):
        store = open_store(settings, create=False)
        orphans = [run.run_id for run in search(store, status="RUNNING") if _is_orphan(run.tags)]
        with translated(settings):
            for run_id in orphans:
                store.client.set_tag(run_id, "cvexp.end_reason", "its driver is gone")
                store.client.set_terminated(run_id, "KILLED")
                closed.append(run_id)
    return closed


def interrupted_attempts(settings: StoreSettings) -> dict[str, str]:
    """The experiment's runs that were interrupted: of each trial the last one's id, by trial.

    For a driver that takes over; none where the store does not answer.
    """
    found: dict[str, str] = {}
    with contextlib.suppress(CvexpError):
        fields = Fields(params=(), metrics=(), tags=(TRIAL,))
        for run in search(open_store(settings, create=False), status="KILLED", fields=fields):
            if TRIAL in run.tags:
                found.setdefault(run.tags[TRIAL], run.run_id)
    return found


def _is_orphan(tags: Mapping[str, str]) -> bool:
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
