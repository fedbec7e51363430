"""All runs of an experiment, of which those that ended are kept here (see tracking.run_cache) once they are many."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cvexp.tracking import run_cache
from cvexp.tracking.local_changes import local_changes
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.queries import OURS, PAGE, search, summary_of, with_status
from cvexp.tracking.run_cache import RunCache
from cvexp.tracking.server_changes import server_changes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from cvexp.runs import RunSummary
    from cvexp.tracking.local_changes import Changes
    from cvexp.tracking.rows import Fields
    from cvexp.tracking.store import Store


def search_cached(store: Store, fields: Fields) -> list[RunSummary]:
    """As `queries.search` for the whole experiment, without the tags that `fields` leaves out; what is kept is updated.

    Raises:
        ConfigError: The variable that turns the cache off has another value.
        StoreError: The store cannot be read.
    """
    if not run_cache.is_on():
        return search(store, fields=fields)
    with _without_collection():
        cache = run_cache.load(store)
        runs, marks = (cache.runs, cache.marks) if cache is not None else ({}, {})
        with translated(store.settings):
            changes = _changes(store, runs, marks, fields)
        if changes is None:
            return search(store, fields=fields)
        if cache is None:
            cache = RunCache(runs={run.run_id: run for run in changes.changed}, marks=changes.marks)
            run_cache.save(store, cache)
        elif changes.changed or changes.dropped or changes.marks != marks:
            cache.change(changes.changed, changes.dropped, changes.marks)
            run_cache.save(store, cache)
        return [with_status(store, run) for run in changes.runs]


def asked_again(store: Store, runs: Sequence[RunSummary], fields: Fields) -> dict[str, RunSummary | None]:
    """Those of some runs that are not as they were given, by id: as they are, or None where they are deleted.

    Empty where `search_cached` misses no change: in a local store, and where nothing is kept. Raises StoreError where
    the store cannot be read.
    """
    if store.settings.sqlite_file is not None or not run_cache.is_kept(store):
        return {}
    found: dict[str, RunSummary] = {}
    ids = [run.run_id for run in runs]
    with translated(store.settings):
        for start in range(0, len(ids), PAGE):
            listed = ", ".join(f"'{run_id}'" for run_id in ids[start : start + PAGE])
            some = store.client.search_runs([store.experiment_id], f"attributes.run_id IN ({listed})", max_results=PAGE)
            found |= {run.info.run_id: _summary(run, fields) for run in some}
    return {run.run_id: found.get(run.run_id) for run in runs if not run.is_as(found.get(run.run_id))}


def _changes(store: Store, known: dict[str, RunSummary], marks: dict[str, Any], fields: Fields) -> Changes | None:
    if (file := store.settings.sqlite_file) is not None:
        return local_changes(file, store.experiment_id, known, marks, fields)
    return server_changes(
        lambda where, stage: _pages(store, where, stage), known, marks, lambda run: _summary(run, fields)
    )


def _summary(run: Any, fields: Fields) -> RunSummary:
    found = summary_of(run)
    return replace(found, tags={key: value for key, value in found.tags.items() if key not in fields.but_tags})


def _pages(store: Store, where: str, stage: str) -> Iterator[Any]:
    from mlflow.entities import ViewType

    view = {"active": ViewType.ACTIVE_ONLY, "deleted": ViewType.DELETED_ONLY, "all": ViewType.ALL}[stage]
    clauses = " and ".join(filter(None, (OURS, where)))
    token = None
    while True:
        found: Sequence[Any] = store.client.search_runs(
            [store.experiment_id], clauses, run_view_type=view, max_results=PAGE, page_token=token
        )
        yield from found
        token = getattr(found, "token", None)
        if not token:
            return


@contextmanager
def _without_collection() -> Iterator[None]:
    """Stop the collection of cycles for the block, which makes millions of objects and no cycle."""
    on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if on:
            gc.enable()
