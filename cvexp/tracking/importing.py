"""Write runs that others logged into the store, each once, and so that no time of theirs is ever ranked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Protocol

from filelock import FileLock, Timeout

from cvexp.comparability import TEST_SET
from cvexp.errors import StoreError
from cvexp.results import Metric
from cvexp.runs import BENCH, IMPORTED, IMPORTED_FROM
from cvexp.settings import VERSION
from cvexp.tracking.delivery import delivered_now
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.queries import PAGE
from cvexp.tracking.store import make_state_dir

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from cvexp.tracking.store import Store

LOCK_SECONDS = 60
_DIGITS = 8


class Imported(Protocol):
    """A run that was read; see jobs.foreign_runs.ForeignRun."""

    @property
    def source(self) -> Path: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    @property
    def status(self) -> str: ...  # noqa: D102
    @property
    def started_ms(self) -> int | None: ...  # noqa: D102
    @property
    def params(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def metrics(self) -> Mapping[str, float]: ...  # noqa: D102
    @property
    def digest(self) -> str: ...  # noqa: D102


def known_imports(store: Store) -> dict[str, tuple[str, bool]]:
    """The runs of the experiment that were imported: the id, and whether all of it was written, by digest."""
    from mlflow.utils import get_results_from_paginated_fn

    def page(size: int, token: str | None) -> Any:
        where = f"tags.`{IMPORTED}` != ''"
        return store.client.search_runs([store.experiment_id], where, max_results=size, page_token=token)

    with translated(store.settings):
        runs = get_results_from_paginated_fn(page, PAGE)
    return {run.data.tags[IMPORTED]: (run.info.run_id, run.info.status != "RUNNING") for run in runs}


def write_runs(store: Store, runs: Sequence[Imported]) -> list[str]:
    """Write those that the experiment does not have, and give the ids of all, in order.

    One that a killed import began is completed: a repeated figure is the same figure.

    Raises:
        StoreError: The store cannot be written, or another import goes on.
    """
    lock = FileLock(make_state_dir(store.settings) / "import.lock", timeout=LOCK_SECONDS)
    try:
        with lock, translated(store.settings):
            known = known_imports(store)
            return [_written(store, run, known.get(run.digest)) for run in runs]
    except Timeout as error:
        raise StoreError(f"another import has held {lock.lock_file} for {LOCK_SECONDS} s", "wait for it") from error


def _written(store: Store, run: Imported, known: tuple[str, bool] | None) -> str:
    from mlflow.entities import Metric as Figure
    from mlflow.entities import Param

    run_id, complete = known or ("", False)
    if complete:
        return run_id
    client = store.client
    at = started_ms(run)
    name = run.name or f"{run.params.get('model', 'imported')}-{run.digest[:_DIGITS]}"
    if not run_id:
        created = client.create_run(store.experiment_id, start_time=at, tags=tags_of(run), run_name=name)
        run_id = str(created.info.run_id)
    client.log_batch(
        run_id,
        metrics=[*(Figure(key, value, at, 0) for key, value in run.metrics.items()), delivered_now()],
        params=[Param(key, value) for key, value in run.params.items()],
    )
    client.set_terminated(run_id, run.status, end_time=at)
    return run_id


def started_ms(run: Imported) -> int:
    """When it was started, in milliseconds since the Unix epoch; where nothing is said, when its file was written."""
    return run.started_ms if run.started_ms is not None else int(run.source.stat().st_mtime * 1000)


def tags_of(run: Imported) -> dict[str, str]:
    """Tags by which queries find it, and by which it shares conditions and test images with no run of cvexp's own.

    Nothing is known of either: its times and latencies have conditions of their own, and its accuracies are
    ranked only among imported runs on a dataset of the same name.
    """
    unknown = f"not recorded ({run.digest[:_DIGITS]})"
    tags = {
        "cvexp.version": VERSION,
        IMPORTED: run.digest,
        IMPORTED_FROM: run.source.name,
        "cvexp.conditions": json.dumps({"device": unknown, "step_runner": "unknown"}),
        TEST_SET: f"imported:{run.params.get('dataset', 'unknown')}".replace(",", " "),
    }
    if Metric.LATENCY_MS in run.metrics:
        tags[BENCH] = json.dumps({"device_name": unknown, "threads": "unknown"})
    return tags
