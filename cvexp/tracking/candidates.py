"""The few runs of a large local store among which the best is: a pass over its tables for each key, no object of a run.

As `tracking.rows` reads them; see there for what it relies on.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from cvexp.results import Metric, rank
from cvexp.runs import IMPORTED, SWEEP
from cvexp.tracking.rows import RUN_COLUMNS, figure_of_row, numbers, opened, runs_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

    from cvexp.runs import RunSummary
    from cvexp.tracking.rows import Fields

MAPPED_BYTES = 2**31 - 65536  # the most that SQLite maps
CONDITIONS, SAYS_SPLIT = "cvexp.conditions", '"step_runner"'
"""The tag with a run's conditions, and what those have in them that say how its images were split."""


def read_candidates(
    file: Path, experiment_ids: Sequence[str], fields: Fields, *, named: Collection[str] = ()
) -> list[RunSummary] | None:
    """Of the finished runs on the same images, split alike, the latest, and the best by the first metric they have.

    They agree in the tags of `fields`, in the parameters `named`, and in all of those of `fields` where their
    conditions do not say how the images were split. They come most recently started first, with `fields` alone. None
    where MLflow has to be asked.
    """
    try:
        with contextlib.closing(opened(file)) as database:
            database.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
            database.execute("BEGIN")  # one state of the store for all queries
            rows = _rows(database, experiment_ids, fields, named)
            ids = _leaders(rows)
            columns = ", ".join(RUN_COLUMNS)
            found = [
                database.execute(f"SELECT {columns} FROM runs WHERE run_uuid = ?", (one,)).fetchone()  # noqa: S608
                for one in ids
            ]
            return runs_of(database, found, fields)
    except (sqlite3.Error, TypeError, ValueError, OverflowError):  # a store's content is untrusted
        return None


class _Row(NamedTuple):
    """A run: its place in time, the latest first, the numbers of its texts, and the first of the metrics it has."""

    at: tuple[int, str]
    texts: tuple[int | None, ...]
    metric: str | None
    value: object


def _rows(
    database: sqlite3.Connection, experiment_ids: Sequence[str], fields: Fields, named: Collection[str]
) -> Iterator[_Row]:
    """A row for each run that may be the best: cvexp's, finished, neither imported nor a trial (see `runs.is_trial`).

    Equal texts have equal numbers. The parameters of `fields` are left out where the conditions say how the images were
    split. Each key is one pass over its rows, which lie in the order of ids.
    """
    numbered: dict[str, int] = {}

    def column(table: str, key: str) -> dict[str, int]:
        values = database.execute(f"SELECT run_uuid, value FROM {table} WHERE key = ?", (key,))  # noqa: S608 - our own
        return {run_id: numbered.setdefault(value, len(numbered)) for run_id, value in values}

    def those_with(table: str, key: str) -> set[str]:
        return {run_id for (run_id,) in database.execute(f"SELECT run_uuid FROM {table} WHERE key = ?", (key,))}  # noqa: S608

    ours, left_out = those_with("tags", "cvexp.version"), those_with("tags", IMPORTED)
    if trials := those_with("tags", SWEEP):
        left_out |= trials - those_with("latest_metrics", Metric.TEST_ACCURACY)
    finished = (
        "SELECT run_uuid, start_time FROM runs WHERE lifecycle_stage = 'active' AND status = 'FINISHED' "
        "AND experiment_id IN (SELECT value FROM json_each(?))"
    )
    found = database.execute(finished, (numbers(experiment_ids),))
    runs = {run_id: start for run_id, start in found if run_id in ours and run_id not in left_out}
    conditions = column("tags", CONDITIONS)
    says_split = {number for text, number in numbered.items() if SAYS_SPLIT in text}
    columns = [conditions, *(column("tags", key) for key in fields.tags or () if key != CONDITIONS)]
    columns += [column("params", key) for key in named]
    others: list[dict[str, int]] = []
    if not all(conditions.get(run_id) in says_split for run_id in runs):
        others = [column("params", key) for key in fields.params or ()]
    values: dict[str, dict[str, object]] = {}
    lacking = set(runs)
    for metric in fields.metrics or ():
        if lacking:
            values[metric] = _values(database, metric)
            lacking -= values[metric].keys()
    for run_id, start in runs.items():
        texts = [one.get(run_id) for one in columns]
        if others and texts[0] not in says_split:
            texts += [one.get(run_id) for one in others]
        first = next((metric for metric, known in values.items() if run_id in known), None)
        yield _Row((-start, run_id), tuple(texts), first, None if first is None else values[first][run_id])


def _values(database: sqlite3.Connection, metric: str) -> dict[str, object]:
    """The last values of a metric by run; 'nan' is not a number."""
    query = "SELECT run_uuid, CASE WHEN is_nan THEN 'nan' ELSE value END FROM latest_metrics WHERE key = ?"
    return dict(database.execute(query, (metric,)))


def _leaders(rows: Iterable[_Row]) -> list[str]:
    """Ids: of the rows that agree in their texts, the latest, and the latest of the best by each metric."""
    latest: dict[tuple[Any, ...], tuple[int, str]] = {}
    best: dict[tuple[Any, ...], tuple[tuple[int, float], tuple[int, str]]] = {}
    for row in rows:
        if (known := latest.get(row.texts)) is None or row.at < known:
            latest[row.texts] = row.at
        if row.metric is not None:
            figure = math.nan if row.value == "nan" else figure_of_row(row.value)
            standing = rank({row.metric: figure}, row.metric), row.at
            if (first := best.get((row.metric, *row.texts))) is None or standing < first:
                best[row.metric, *row.texts] = standing
    chosen = {*latest.values(), *(at for _, at in best.values())}
    return [run_id for _, run_id in sorted(chosen)]
