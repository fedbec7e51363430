"""Queries for runs: by id, name, `@last`, `@best`, `models:/`, or in MLflow's filter language. They never write."""

from __future__ import annotations

import contextlib
import re
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvexp.errors import RunError
from cvexp.redaction import without_credentials
from cvexp.runs import MODEL_URI, RunSummary
from cvexp.text import shown
from cvexp.tracking.best import BEST_FORMS, NoSuchMetricError, best, fields_of, parsed
from cvexp.tracking.candidates import read_candidates
from cvexp.tracking.delivery import DELIVERED
from cvexp.tracking.leaders import leaders
from cvexp.tracking.liveness import is_gone
from cvexp.tracking.local import folder_of, status_of
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.registry import WEIGHTS, resolve
from cvexp.tracking.rows import Fields, logged_figure, read_experiments, read_run, read_runs
from cvexp.tracking.store import existing_run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.tracking.store import Store

OURS = "tags.`cvexp.version` != ''"  # selects the runs cvexp wrote; a store may hold others
PAGE = 1000
MIN_PREFIX = 4
SHOWN_CANDIDATES = 5
_HEX = re.compile(r"[0-9a-f]{4,32}")
_ID_DIGITS = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class Selection:
    """The run that a selector means, and what the user should know about the choice."""

    run: RunSummary
    note: str | None = None


def search(
    store: Store,
    *,
    where: str | None = None,
    status: str | None = None,
    last: int | None = None,
    everywhere: bool = False,
    anyones: bool = False,
    name: str | None = None,
    prefix: str | None = None,
    fields: Fields | None = None,
) -> list[RunSummary]:
    """The experiment's runs, or with `everywhere` those of every experiment, most recently started first.

    `where` is a filter in MLflow's language, such as `params.model = "tinyvgg"`; `status` is the one in the store, and
    `last` the most runs to find; with `anyones` they include those that others than cvexp wrote. `name` is theirs, and
    `prefix`, of hexadecimal digits, what their ids begin with. The caller needs no more than `fields` of the runs,
    which may have all.

    Raises:
        RunError: The filter cannot be read.
        StoreError: The store cannot be.
    """
    with translated(store.settings):
        ids = list(experiments(store)) if everywhere else [store.experiment_id]
        file = store.settings.sqlite_file
        found = None
        if file is not None and where is None:
            found = read_runs(
                file, ids, status=status, last=last, anyones=anyones, name=name, prefix=prefix, fields=fields
            )
        if found is None:
            clauses = [
                *([] if anyones else [OURS]),
                *([f"attributes.status = '{status}'"] if status else []),
                *([f"attributes.run_id LIKE '{prefix}%'"] if prefix else []),
                *([] if name is None else _named_clause(name)),
                *([where] if where else []),
            ]
            runs = [summary_of(run) for run in asked(store, ids, clauses, last=last, where=where)]
            found = [run for run in runs if name in (None, run.name)]
    return [with_status(store, run) for run in found]


def _named_clause(name: str) -> list[str]:
    """The clause for runs of that name; none where the filter language cannot quote it."""
    quote = "'" if '"' in name else '"'
    return [] if quote in name or not name.isprintable() else [f"attributes.run_name = {quote}{name}{quote}"]


def asked(store: Store, ids: list[str], clauses: list[str], *, last: int | None, where: str | None) -> list[Any]:
    """MLflow's runs that its client finds; `where` is the clause that the user typed. Raises what MLflow does."""
    from mlflow.exceptions import MlflowException
    from mlflow.utils import get_results_from_paginated_fn

    def page(size: int, token: str | None) -> Any:
        order = ["attributes.start_time DESC"]
        return store.client.search_runs(ids, " and ".join(clauses), max_results=size, order_by=order, page_token=token)

    try:
        return list(get_results_from_paginated_fn(page, PAGE, last))
    except MlflowException as error:
        if where and error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
            reason = without_credentials(str(error).splitlines()[0])[:160]
            example = "for example: --where 'params.model = \"tinyvgg\"'"
            raise RunError(f"--where {shown(where)} cannot be read: {reason}", example) from error
        raise


def experiments(store: Store) -> dict[str, str]:
    """The names of all experiments that are not deleted, by id."""
    file = store.settings.sqlite_file
    if file is not None and (here := read_experiments(file)) is not None:
        return {one.id: one.name for one in here if not one.is_deleted}
    from mlflow.utils import get_results_from_paginated_fn

    def page(size: int, token: str | None) -> Any:
        return store.client.search_experiments(max_results=size, page_token=token)

    found = get_results_from_paginated_fn(page, PAGE)
    return {experiment.experiment_id: experiment.name for experiment in found}


def experiment_of(store: Store, run: RunSummary) -> str:
    """The name of the experiment that a run belongs to."""
    file = store.settings.sqlite_file
    here = read_experiments(file) if file is not None else None
    if known := [one.name for one in here or () if one.id == run.experiment_id]:
        return known[0]
    with translated(store.settings):
        return str(store.client.get_experiment(run.experiment_id).name)


def runs_by_experiment(store: Store) -> dict[str, int]:
    """How many runs of cvexp's each experiment has, by name, the most recently used first; none is left out."""
    nothing = Fields(params=(), metrics=(), tags=())
    counts = Counter(run.experiment_id for run in search(store, everywhere=True, fields=nothing))
    with translated(store.settings):
        names = experiments(store)
    return {names[experiment_id]: n for experiment_id, n in counts.items()}


def find(store: Store, selector: str) -> Selection:
    """The one run that `selector` means in the store; only `@best` keeps to an experiment that the user named.

    A selector is a run id or a unique prefix of one (at least 4 digits), a run's name, `@last` (the most recently
    started one, whatever its status), `@best` with what may follow it (see `tracking.best`), or a version in the model
    registry (see `tracking.registry`).

    Raises:
        RunError: No run fits, or several do.
    """
    if selector == "@last":
        if runs := search(store, last=1, everywhere=True):
            return Selection(run=runs[0])
        start = store.settings.command("train", "linear")
        raise RunError("no run has been started here yet", f"start one: {start}")
    if selector == "@best" or selector.startswith(("@best:", "@best@")):
        return _best(store, selector)
    if selector.startswith("@"):
        raise RunError(f"unknown selector: {shown(selector)}", f"valid: @last, {BEST_FORMS}, a run's id or name")
    if selector.startswith(MODEL_URI):
        return _registered(store, selector)
    return Selection(run=_named(store, selector))


def _registered(store: Store, uri: str) -> Selection:
    """The run behind a version in the model registry; RunError where it has other weights now, or is not cvexp's."""
    version = resolve(store, uri)
    run = by_id(store, version.run_id)
    again = store.settings.command("register", "RUN", "--name", version.name)
    if run is None:
        raise RunError(
            f"{shown(uri)} is run {version.run_id}, which this store does not have", f"register one: {again}"
        )
    if "cvexp.version" not in run.tags:
        raise foreign(run)
    registered = version.tags.get(WEIGHTS)
    if registered and registered != run.tags.get(WEIGHTS):
        raise RunError(
            f"{version.uri} was registered with other weights than run {run.name} has now: it was resumed since",
            f"register these: {again.replace('RUN', run.run_id[:12], 1)}",
        )
    note = f"{uri} is {'' if uri == version.uri else f'version {version.version}, '}run {run.name}"
    return Selection(run=run, note=note)


def _best(store: Store, selector: str) -> Selection:
    """What `best` chooses among all finished runs, of which the store names the few that it can choose."""
    everywhere, command = not store.settings.experiment_named, store.settings.command
    fields = fields_of(selector)
    with translated(store.settings):
        ids = list(experiments(store)) if everywhere else [store.experiment_id]
        found = _candidates(store, ids, selector, fields)
    if found is None:
        found = search(store, status="FINISHED", everywhere=everywhere, fields=fields)
    try:
        chosen, note = best(found, selector, command=command)
    except NoSuchMetricError:  # the hint names the metrics that there are
        known = search(store, status="FINISHED", everywhere=everywhere, last=PAGE)
        chosen, note = best(known, selector, command=command)
    return Selection(run=by_id(store, chosen.run_id) or chosen, note=note)


def _candidates(store: Store, ids: list[str], selector: str, fields: Fields) -> list[RunSummary] | None:
    """The runs among which `best` chooses as among all; None where all have to be read. Raises what MLflow does."""
    if (file := store.settings.sqlite_file) is not None:
        return read_candidates(file, ids, fields, named=tuple(parsed(selector)[0]))
    from mlflow.exceptions import MlflowException

    def one(clauses: Sequence[str], order: str | None) -> RunSummary | None:
        by = [*([order] if order else []), "attributes.start_time DESC"]
        found = store.client.search_runs(ids, " and ".join(clauses), max_results=1, order_by=by)
        return next((summary_of(run) for run in found), None)

    def first(clauses: Sequence[str], order: str | None) -> RunSummary | None:
        """The first of cvexp's runs: asked for among all at first, which takes the database half the time."""
        found = one(clauses, order)
        return found if found is None or found.tags.get("cvexp.version") else one([OURS, *clauses], order)

    try:
        return leaders(first, *parsed(selector), clauses=["attributes.status = 'FINISHED'"])
    except MlflowException as error:
        if error.error_code in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):  # a server of an earlier version
            return None
        raise


def _named(store: Store, selector: str) -> RunSummary:
    if len(selector) == _ID_DIGITS and _HEX.fullmatch(selector) and (run := by_id(store, selector)):
        return run
    matches = search(store, name=selector, everywhere=True)
    if not matches and _HEX.fullmatch(selector):
        matches = search(store, prefix=selector, everywhere=True)
    if len(matches) == 1:
        return matches[0]
    if matches:
        listed = [f"{r.run_id[:12]} ({r.name})" for r in matches[:SHOWN_CANDIDATES]]
        more = f" and {len(matches) - len(listed)} more" if len(matches) > len(listed) else ""
        raise RunError(f"{shown(selector)} fits {len(matches)} runs", "candidates: " + ", ".join(listed) + more)
    if others := search(store, name=selector, everywhere=True, anyones=True):
        raise foreign(others[0])
    short = "" if len(selector) >= MIN_PREFIX else f" (a prefix of an id needs at least {MIN_PREFIX} digits)"
    listing = store.settings.command("compare")
    raise RunError(f"no run here is {shown(selector)}{short}", f"see which there are: {listing}")


def foreign(run: RunSummary) -> RunError:
    """Why a run that cvexp did not write is not opened."""
    return RunError(
        f"run {run.name or run.run_id} was not written by cvexp: a model that others log may be a pickle, "
        "which can run any code when it is read",
        "train it with cvexp train, and use that run",
    )


def by_id(store: Store, run_id: str) -> RunSummary | None:
    """The run of that id, of any experiment; None where there is none, RunError where it was deleted."""
    file = store.settings.sqlite_file
    if file is not None and (here := read_run(file, run_id)) is not None:
        return with_status(store, here)
    with translated(store.settings):
        run = existing_run(store, run_id)
    if run is not None and run.info.lifecycle_stage == "deleted":
        restore = store.settings.mlflow_command("runs", "restore", "--run-id", run_id)
        raise RunError(f"run {run_id} was deleted", f"restore it: {restore}")
    return None if run is None else with_status(store, summary_of(run))


def with_status(store: Store, run: RunSummary) -> RunSummary:
    """The run with its true status: one that the store calls RUNNING is KILLED if its process has certainly ended."""
    if run.status != "RUNNING" or not is_gone(run.tags):
        return run
    with contextlib.suppress(RunError):
        if (folder := folder_of(store.settings, run.run_id)) is not None:
            return replace(run, status=status_of(folder))
    return replace(run, status="KILLED")


def summary_of(run: Any) -> RunSummary:
    """A run of MLflow's client as cvexp has it."""
    tags = dict(run.data.tags)
    return RunSummary(
        run_id=run.info.run_id,
        name=run.info.run_name or tags.get("mlflow.runName", ""),
        status=run.info.status,
        experiment_id=run.info.experiment_id,
        artifacts_uri=run.info.artifact_uri,
        started_at=datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC),
        params=dict(run.data.params),
        metrics={key: logged_figure(value) for key, value in run.data.metrics.items() if key != DELIVERED},
        tags=tags,
    )
