"""Runs read from the tables of a local SQLite store, in a tenth of the time that MLflow's client takes; never written.

The client makes objects of every row, its inputs and outputs, a page of a thousand runs at a time. The tables are
MLflow's (`mlflow.store.tracking.dbmodels.models`); where they look otherwise, the caller asks the client.
"""

from __future__ import annotations

import contextlib
import json
import math
import sqlite3
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvexp.runs import RunSummary
from cvexp.tracking.delivery import DELIVERED

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

LOCK_SECONDS = 5.0  # how long to wait for a process that writes

RUN_COLUMNS = ("run_uuid", "name", "status", "experiment_id", "artifact_uri", "start_time")
_RUNS = f"""
SELECT {", ".join(RUN_COLUMNS)} FROM runs
WHERE lifecycle_stage = 'active' AND experiment_id IN (SELECT value FROM json_each(:experiments))
AND (:status IS NULL OR status = :status)
AND (:recipes IS NULL OR run_uuid IN (
    SELECT run_uuid FROM tags WHERE key = 'cvexp.recipe' AND value IN (SELECT value FROM json_each(:recipes))
) OR NOT EXISTS (SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND tags.key = 'cvexp.recipe'))
AND (:name IS NULL OR name = :name) AND (:prefix IS NULL OR substr(run_uuid, 1, length(:prefix)) = :prefix)
AND (:anyones OR EXISTS (
    SELECT 1 FROM tags WHERE tags.run_uuid = runs.run_uuid AND tags.key = 'cvexp.version' AND tags.value != ''
))
ORDER BY start_time DESC, run_uuid LIMIT :last
"""  # noqa: S608 - words of our own
_OF_RUNS = "WHERE run_uuid IN (SELECT value FROM json_each(:runs))"
_OF_KEYS = "AND key IN (SELECT value FROM json_each(:keys))"
_BUT_KEYS = "AND key NOT IN (SELECT value FROM json_each(:keys))"
_BETWEEN = "\x1f"  # the unit separator


@dataclass(frozen=True, kw_only=True, slots=True)
class Fields:
    """The keys of the parameters, metrics and tags that are needed; None for all, but for the tags `but_tags`."""

    params: Collection[str] | None = None
    metrics: Collection[str] | None = None
    tags: Collection[str] | None = None
    but_tags: Collection[str] = ()


def read_runs(
    file: Path,
    experiment_ids: Sequence[str],
    *,
    status: str | None = None,
    last: int | None = None,
    anyones: bool = False,
    recipes: Collection[str] | None = None,
    name: str | None = None,
    prefix: str | None = None,
    fields: Fields | None = None,
) -> list[RunSummary] | None:
    """The runs of some experiments, most recently started first, without deleted ones; None if MLflow has to be asked.

    `status` is the one that the runs have in the store, and `last` the most runs to read; with `anyones` they include
    those that others than cvexp wrote, and with `recipes` only those of one of them or without any. `name` is theirs,
    and `prefix` what their ids begin with. What `fields` leaves out is missing from the runs.
    """
    fields = fields or Fields()
    asked = {
        "experiments": numbers(experiment_ids),
        "status": status,
        "anyones": anyones,
        "last": -1 if last is None else last,
        "name": name,
        "prefix": prefix,
        "recipes": None if recipes is None else json.dumps(sorted(recipes)),
    }
    try:
        with contextlib.closing(opened(file)) as database:
            database.execute("BEGIN")  # one state of the store for all queries
            return runs_of(database, database.execute(_RUNS, asked).fetchall(), fields)
    except (sqlite3.Error, TypeError, ValueError, OverflowError):  # a store's content is untrusted
        return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """An experiment of a store."""

    id: str
    name: str
    is_deleted: bool


def read_experiments(file: Path) -> list[Experiment] | None:
    """All experiments of a local store; None if MLflow has to be asked."""
    try:
        with contextlib.closing(opened(file)) as database:
            rows = database.execute("SELECT experiment_id, name, lifecycle_stage FROM experiments").fetchall()
    except sqlite3.Error:
        return None
    return [Experiment(id=str(number), name=str(name), is_deleted=stage != "active") for number, name, stage in rows]


def read_run(file: Path, run_id: str) -> RunSummary | None:
    """The run of that id with all that is known of it; None if MLflow has to be asked, as for one that was deleted."""
    columns = ", ".join(RUN_COLUMNS)
    one = f"SELECT {columns} FROM runs WHERE run_uuid = ? AND lifecycle_stage = 'active'"  # noqa: S608 - our own words
    try:
        with contextlib.closing(opened(file)) as database:
            database.execute("BEGIN")
            found = runs_of(database, database.execute(one, (run_id,)).fetchall(), Fields())
    except (sqlite3.Error, TypeError, ValueError, OverflowError):
        return None
    return found[0] if found else None


def opened(file: Path) -> sqlite3.Connection:
    """The database, for reading alone."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True, timeout=LOCK_SECONDS)


def runs_of(database: sqlite3.Connection, runs: Sequence[tuple[Any, ...]], fields: Fields) -> list[RunSummary]:
    """The runs whose RUN_COLUMNS are given, with their fields; raises sqlite3.Error, or ValueError and the like."""
    ids = json.dumps([run[0] for run in runs])
    params = _texts(database, "params", ids, fields.params)
    tags = _texts(database, "tags", ids, fields.tags, but=fields.but_tags)
    metrics = _figures(database, ids, fields.metrics)
    return [_summary(run, params, metrics, tags) for run in runs]


def _texts(
    database: sqlite3.Connection, name: str, ids: str, keys: Collection[str] | None, *, but: Collection[str] = ()
) -> dict[str, dict[str, str]]:
    """The parameters or tags of some runs, by run and key. Equal texts are one object: most runs share most of them.

    Without `keys`, a row a run: the database joins texts faster than they are fetched. Raises ValueError where a text
    has the separator in it.
    """
    text = "coalesce(CAST(value AS TEXT), '')"
    texts: dict[str, str] = {}
    same = texts.setdefault
    found: dict[str, dict[str, str]] = {}
    if keys is not None:
        for run_id, key, value in _rows(database, f"run_uuid, key, {text}", name, ids, keys):
            found.setdefault(run_id, {})[same(key, key)] = same(value, value)
        return found
    columns = f"run_uuid, count(*), group_concat(key, '{_BETWEEN}'), group_concat({text}, '{_BETWEEN}')"
    names: dict[str, list[str]] = {}
    for run_id, n, joined_keys, joined in _rows(database, columns, name, ids, None, but=but, group="GROUP BY run_uuid"):
        if (known := names.get(joined_keys)) is None:
            known = names[joined_keys] = [same(key, key) for key in joined_keys.split(_BETWEEN)]
        of_run = joined.split(_BETWEEN)
        if not n == len(known) == len(of_run):
            raise ValueError
        found[run_id] = dict(zip(known, map(same, of_run, of_run), strict=True))
    return found


def _figures(database: sqlite3.Connection, ids: str, keys: Collection[str] | None) -> dict[str, dict[str, float]]:
    """The last values of the metrics of some runs, by run and key."""
    names: dict[str, str] = {}
    same, most = names.setdefault, sys.float_info.max
    found: dict[str, dict[str, float]] = {}
    last = ""
    columns = "run_uuid, key, CASE WHEN is_nan THEN NULL ELSE value END"
    for run_id, key, value in _rows(database, columns, "latest_metrics", ids, keys, but=(DELIVERED,)):
        if run_id != last:
            last, of_run = run_id, found.setdefault(run_id, {})
        of_run[same(key, key)] = math.nan if value is None else value if -most < value < most else logged_figure(value)
    return found


def _rows(
    database: sqlite3.Connection,
    columns: str,
    name: str,
    ids: str,
    keys: Collection[str] | None,
    *,
    but: Collection[str] = (),
    group: str = "",
) -> Iterator[tuple[Any, ...]]:
    """The columns, SQL expressions, of the rows that belong to some runs and keys."""
    if keys is not None and not keys:
        return iter(())
    where = "" if keys is None and not but else _BUT_KEYS if keys is None else _OF_KEYS
    asked = {"runs": ids, "keys": json.dumps(list(but if keys is None else keys))}
    query = f"SELECT {columns} FROM {name} {_OF_RUNS} {where} {group}"  # noqa: S608 - words of our own
    return database.execute(query, asked)


def logged_figure(value: float) -> float:
    """A metric's value as it was logged: MLflow's databases hold the largest number in the place of an infinity."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def numbers(experiment_ids: Sequence[str]) -> str:
    """The ids of experiments as a JSON array; MLflow's databases number them."""
    return json.dumps([int(one) for one in experiment_ids if one.isdecimal()])


def _summary(
    run: Sequence[Any],
    params: Mapping[str, Mapping[str, str]],
    metrics: Mapping[str, Mapping[str, float]],
    tags: Mapping[str, Mapping[str, str]],
) -> RunSummary:
    run_id, name, status, experiment_id, artifacts_uri, started = run
    return RunSummary(
        run_id=run_id,
        name=name or "",
        status=status,
        experiment_id=str(experiment_id),
        artifacts_uri=artifacts_uri or "",
        started_at=datetime.fromtimestamp(started / 1000, tz=UTC),
        params=params.get(run_id, {}),
        metrics=metrics.get(run_id, {}),
        tags=tags.get(run_id, {}),
    )
