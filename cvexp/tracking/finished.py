"""What of a plan is trained or begun: asked for by recipe and by id, without reading all runs of an experiment."""

from __future__ import annotations

import contextlib
import re
from typing import TYPE_CHECKING

from cvexp.errors import RunError
from cvexp.runs import RECIPE
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.queries import OURS, asked, by_id, search, summary_of
from cvexp.tracking.rows import read_runs

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

ASKED_RECIPES = 100  # a query each on a server; for more, all runs are read
_DIGEST = re.compile(r"[0-9a-f]{4,64}")


def search_recipes(store: Store, recipes: Collection[str]) -> list[RunSummary]:
    """The experiment's finished runs of any of the recipes, and those that recorded none; the latest started first.

    Raises:
        StoreError: The store cannot be read.
    """
    finished, known = "attributes.status = 'FINISHED'", [one for one in recipes if _DIGEST.fullmatch(one)]
    with translated(store.settings):
        ids, file = [store.experiment_id], store.settings.sqlite_file
        found = None
        if file is not None:
            found = read_runs(file, ids, status="FINISHED", recipes=known)
        if found is None and len(known) <= ASKED_RECIPES:
            clauses = [f"tags.`{RECIPE}` IS NULL", *(f"tags.`{RECIPE}` = '{one}'" for one in known)]
            runs = [run for one in clauses for run in asked(store, ids, [OURS, finished, one], last=None, where=None)]
            found = sorted(map(summary_of, runs), key=lambda run: run.started_at, reverse=True)
    return search(store, status="FINISHED") if found is None else found


def search_ids(store: Store, run_ids: Iterable[str]) -> list[RunSummary]:
    """The experiment's runs of these ids, without deleted ones; raises StoreError where the store cannot be read."""
    found = []
    for run_id in run_ids:
        with contextlib.suppress(RunError):  # it was deleted
            if (run := by_id(store, run_id)) is not None and run.experiment_id == store.experiment_id:
                found.append(run)
    return sorted(found, key=lambda run: run.started_at, reverse=True)
