"""The few runs of a large local store among which the best is: a pass over its tables for each key, no object of a run.

As `tracking.rows` reads them; see there for what it relies on.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING, Any, NamedTuple

from cvexp.results import Metric, higher_is_better
from cvexp.runs import IMPORTED, SWEEP
from cvexp.tracking.rows import RUN_COLUMNS, numbers, opened, runs_of

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
            ids = _leaders(_rows(database, experiment_ids, fields, named))
            columns = ", ".join(RUN_COLUMNS)
            found = [
                database.execute(f"SELECT {columns} FROM runs WHERE run_uuid = ?", (one,)).fetchone()  # noqa: S608
                for one in ids
            ]
            return runs_of(database, found, fields)
    except (sqlite3.Error, TypeError, ValueError, OverflowError):  # a store's content is untrusted
        return None


class _Row(NamedTuple):
    """A run: its place in time, the latest first, its texts, and how it stands by the first of the metrics it has."""

    at: tuple[int, str]
    texts: tuple[str | None, ...]
    standing: tuple[str, tuple[int, float]] | None


def _rows(
    database: sqlite3.Connection, experiment_ids: Sequence[str], fields: Fields, named: Collection[str]
) -> Iterator[_Row]:
    """A row for each run that may be the best: cvexp's, finished, neither imported nor a trial (see `runs.is_trial`).

    The parameters of `fields` are left out where the conditions say how the images were split. Each key is one pass
    over its rows, which lie in the order of ids.
    """

    def column(table: str, key: str) -> dict[str, str]:
        return dict(database.execute(f"SELECT run_uuid, coalesce(value, '') FROM {table} WHERE key = ?", (key,)))  # noqa: S608

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
    places = [(-start, run_id) for run_id, start in found if run_id in ours and run_id not in left_out]
    ids = [run_id for _, run_id in places]

    def in_order(table: str, key: str) -> list[str | None]:
        return list(map(column(table, key).get, ids))

    conditions = in_order("tags", CONDITIONS)
    says_split = {text for text in set(conditions) if text is not None and SAYS_SPLIT in text}
    texts = [conditions, *(in_order("tags", key) for key in fields.tags or () if key != CONDITIONS)]
    texts += [in_order("params", key) for key in named]
    if says_split != set(conditions):
        unsaid = [text not in says_split for text in conditions]
        others = [in_order("params", key) for key in fields.params or ()]
        texts += [[text if asked else None for text, asked in zip(one, unsaid, strict=True)] for one in others]
    standings = _standings(database, ids, fields.metrics or ())
    return map(_Row, places, zip(*texts, strict=True), map(standings.get, ids))


def _standings(
    database: sqlite3.Connection, ids: Sequence[str], metrics: Iterable[str]
) -> dict[str, tuple[str, tuple[int, float]]]:
    """The first of the metrics that a run has, and a sort key of its last value as `results.rank` has it, by run.

    Raises TypeError for a value that is no number.
    """
    standings: dict[str, tuple[str, tuple[int, float]]] = {}
    lacking = ids
    query = "SELECT run_uuid, CASE WHEN is_nan THEN NULL ELSE value END FROM latest_metrics WHERE key = ?"
    for metric in metrics:
        if not lacking:
            break
        values = dict(database.execute(query, (metric,)))
        sign = -1.0 if higher_is_better(metric) else 1.0
        for run_id in lacking:
            if run_id in values:
                value = values[run_id]
                standings[run_id] = metric, (1, 0.0) if value is None else (0, sign * value)
        lacking = [run_id for run_id in lacking if run_id not in standings]
    return standings


def _leaders(rows: Iterable[_Row]) -> list[str]:
    """Ids: of the rows that agree in their texts, the latest, and the latest of the best by each metric."""
    latest: dict[tuple[str | None, ...], tuple[int, str]] = {}
    best: dict[tuple[Any, ...], tuple[tuple[int, float], tuple[int, str]]] = {}
    for at, texts, standing in rows:
        if at < latest.setdefault(texts, at):
            latest[texts] = at
        if standing is not None:
            metric, rank = standing
            own = rank, at
            if own < best.setdefault((metric, texts), own):
                best[metric, texts] = own
    chosen = {*latest.values(), *(at for _, at in best.values())}
    return [run_id for _, run_id in sorted(chosen)]
