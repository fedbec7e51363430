"""The few runs of a large local store among which the best is: one query of its tables, a row a run, no object of each.

As `tracking.rows` reads them; see there for what it relies on.
"""

from __future__ import annotations

import contextlib
import math
import sqlite3
from typing import TYPE_CHECKING, Any

from cvexp.results import rank
from cvexp.tracking.rows import RUN_COLUMNS, figure_of_row, numbers, opened, runs_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from cvexp.runs import RunSummary
    from cvexp.tracking.rows import Fields

MAPPED_BYTES = 2**31 - 65536  # the most that SQLite maps
CONDITIONS, SAYS_SPLIT = "cvexp.conditions", '"step_runner"'
"""The tag with a run's conditions, and what those have in them that say how its images were split."""

ELIGIBLE = (
    "NOT EXISTS (SELECT 1 FROM tags i WHERE i.key = 'cvexp.imported' AND i.run_uuid = runs.run_uuid) "
    "AND (NOT EXISTS (SELECT 1 FROM tags s WHERE s.key = 'cvexp.sweep' AND s.run_uuid = runs.run_uuid) OR EXISTS "
    "(SELECT 1 FROM latest_metrics t WHERE t.key = 'test/accuracy' AND t.run_uuid = runs.run_uuid))"
)
"""Neither imported, nor a trial; see `cvexp.runs.is_trial`."""

N_OWN = 2  # columns of a run itself


def read_candidates(
    file: Path, experiment_ids: Sequence[str], fields: Fields, *, named: Collection[str] = ()
) -> list[RunSummary] | None:
    """Of the finished runs on the same images, split alike, the latest, and the best by the first metric they have.

    They agree in the tags of `fields`, in the parameters `named`, and in all of those of `fields` where their
    conditions do not say how the images were split. They come most recently started first, with `fields` alone. None
    where MLflow has to be asked.
    """
    tags = (CONDITIONS, *(key for key in fields.tags or () if key != CONDITIONS))
    params, metrics = (*named, *(fields.params or ())), tuple(fields.metrics or ())
    query = _query(len(tags), len(named), len(params) - len(named), len(metrics))
    try:
        with contextlib.closing(opened(file)) as database:
            database.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
            database.execute("BEGIN")  # one state of the store for all queries
            others = params[len(named) :]
            rows = database.execute(query, [*tags, *named, *metrics, *others, numbers(experiment_ids)])
            ids = _leaders(rows, metrics)
            columns = ", ".join(RUN_COLUMNS)
            found = [
                database.execute(f"SELECT {columns} FROM runs WHERE run_uuid = ?", (one,)).fetchone()  # noqa: S608
                for one in ids
            ]
            return runs_of(database, found, fields)
    except (sqlite3.Error, TypeError, ValueError, OverflowError):  # a store's content is untrusted
        return None


def _query(n_tags: int, n_named: int, n_others: int, n_metrics: int) -> str:
    """SQL for a row a run: id, start, tags (the conditions first), parameters, metrics up to the first that it has.

    The parameters that are not named are NULL where the conditions say how the images were split.
    """
    tables = ["tags"] * n_tags + ["params"] * n_named + ["latest_metrics"] * n_metrics
    n_texts = n_tags + n_named
    joins, values = [], []
    for n, table in enumerate(tables):
        unless = "".join(f" AND j{k}.run_uuid IS NULL" for k in range(n_texts, n))
        joins.append(f"LEFT JOIN {table} j{n} ON j{n}.key = ?{n + 1} AND j{n}.run_uuid = runs.run_uuid{unless}")
        values.append(f"j{n}.value" if n < n_texts else f"CASE WHEN j{n}.is_nan THEN 'nan' ELSE j{n}.value END")
    others = [
        f"CASE WHEN instr(coalesce(j0.value, ''), '{SAYS_SPLIT}') THEN NULL "  # noqa: S608 - words of our own
        f"ELSE (SELECT value FROM params p WHERE p.key = ?{len(tables) + n} AND p.run_uuid = runs.run_uuid) END"
        for n in range(1, n_others + 1)
    ]
    values[n_texts:n_texts] = others
    return (
        f"SELECT runs.run_uuid, runs.start_time, {', '.join(values)} FROM runs "  # noqa: S608 - words of our own
        "JOIN tags v ON v.key = 'cvexp.version' AND v.run_uuid = runs.run_uuid AND v.value != '' "
        f"{' '.join(joins)} WHERE runs.lifecycle_stage = 'active' AND runs.status = 'FINISHED' "
        f"AND {ELIGIBLE} "
        f"AND runs.experiment_id IN (SELECT value FROM json_each(?{len(tables) + n_others + 1}))"
    )


def _leaders(rows: Iterable[tuple[Any, ...]], metrics: Sequence[str]) -> list[str]:
    """Ids: of the rows that agree in their texts, the latest, and the latest of the best by each metric."""
    latest: dict[tuple[Any, ...], tuple[int, str]] = {}
    best: dict[tuple[Any, ...], tuple[tuple[int, float], tuple[int, str]]] = {}
    end = -len(metrics)
    for row in rows:
        texts, at = row[N_OWN:end], (-row[1], row[0])
        if (known := latest.get(texts)) is None or at < known:
            latest[texts] = at
        for metric, value in zip(metrics, row[end:], strict=True):
            if value is not None:
                figure = math.nan if value == "nan" else figure_of_row(value)
                standing = rank({metric: figure}, metric), at
                if (first := best.get((metric, *texts))) is None or standing < first:
                    best[metric, *texts] = standing
    chosen = {*latest.values(), *(at for _, at in best.values())}
    return [run_id for _, run_id in sorted(chosen)]
