"""MLflow's trash: the runs in it, and back out of it. Queries leave them out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.errors import RunError
from cvexp.runs import ID_DIGITS
from cvexp.text import shown
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.queries import MIN_PREFIX, OURS, PAGE, experiments, summary_of

if TYPE_CHECKING:
    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store


def trashed(store: Store, *, where: str | None = None, everywhere: bool = False) -> list[RunSummary]:
    """Cvexp's runs in MLflow's trash, of the store's experiment or of all of them; `where` as for queries.search."""
    from mlflow.entities import ViewType
    from mlflow.utils import get_results_from_paginated_fn

    clauses = " and ".join(filter(None, (OURS, where)))

    def page(size: int, token: str | None) -> Any:
        return store.client.search_runs(
            ids, clauses, run_view_type=ViewType.DELETED_ONLY, max_results=size, page_token=token
        )

    with translated(store.settings):
        ids = list(experiments(store)) if everywhere else [store.experiment_id]
        return [summary_of(run) for run in get_results_from_paginated_fn(page, PAGE)]


def find_trashed(store: Store, selector: str) -> RunSummary | None:
    """The one run in the trash with an id that begins so, or with that name; RunError where several fit."""
    found = [
        run
        for run in trashed(store, everywhere=True)
        if run.name == selector or (len(selector) >= MIN_PREFIX and run.run_id.startswith(selector))
    ]
    if len(found) > 1:
        listed = ", ".join(run.run_id[:ID_DIGITS] for run in found[:5])
        raise RunError(f"{shown(selector)} fits {len(found)} runs in the trash", f"name one by its id: {listed}")
    return found[0] if found else None


def restore(store: Store, run: RunSummary) -> None:
    """Take a run out of the trash."""
    with translated(store.settings):
        store.client.restore_run(run.run_id)
