"""What has changed in a local store since it was looked at last: exactly, by the order in which SQLite numbers rows.

MLflow adds a row for each parameter and each logged figure, and changes neither. It does change tags in place, so that
all of them are read again, in blocks, and compared by their digests. The tables are MLflow's, as in `tracking.rows`.
"""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from cvexp.tracking.candidates import MAPPED_BYTES
from cvexp.tracking.rows import RUN_COLUMNS, opened, runs_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from cvexp.runs import RunSummary
    from cvexp.tracking.rows import Fields

ENDED = ("FINISHED", "FAILED", "KILLED")
BLOCK = 8192  # rows of tags
APPENDED = ("params", "metrics")
"""The tables whose rows are added and never changed."""

_NOTE = "mlflow.note.content"  # long, and no report of many runs shows it


@dataclass(frozen=True, kw_only=True, slots=True)
class Changes:
    """The runs that there are, most recently started first; what differs from those known, and the new marks."""

    runs: list[RunSummary]
    changed: list[RunSummary]
    dropped: list[str]
    marks: dict[str, Any]


def local_changes(
    file: Path, experiment_id: str, known: Mapping[str, RunSummary], marks: Mapping[str, Any], fields: Fields
) -> Changes | None:
    """The experiment's runs, of which only those are read that are not as they are `known`.

    None where MLflow has to be asked. `marks` are those that came with `known`; none of them for the first time.
    """
    try:
        with contextlib.closing(opened(file)) as database:
            database.execute(f"PRAGMA mmap_size = {MAPPED_BYTES}")
            database.execute("BEGIN")  # one state of the store for all queries, fixed by the first
            columns = ", ".join(RUN_COLUMNS)
            active = f"SELECT {columns} FROM runs WHERE lifecycle_stage = 'active' AND experiment_id = ?"  # noqa: S608
            rows = {row[0]: row for row in database.execute(active, (int(experiment_id),))}
            new, touched = _touched(database, file, marks)
            if touched is None:
                known, marks, touched = {}, {}, set()
            others = set(marks.get("others", ())) - touched
            asked = [
                row
                for run_id, row in rows.items()
                if row[2] not in ENDED or run_id in touched or not (run_id in known or run_id in others)
            ]
            found = {run.run_id: run for run in runs_of(database, asked, fields)}
    except (sqlite3.Error, OSError, KeyError, TypeError, ValueError, OverflowError):
        return None
    read = {run_id: run for run_id, run in found.items() if run.tags.get("cvexp.version")}
    foreign = (others & rows.keys()) | (found.keys() - read.keys())
    return _compared(rows, known, read, touched, new | {"others": sorted(foreign)})


def _compared(
    rows: Mapping[str, tuple[Any, ...]],
    known: Mapping[str, RunSummary],
    read: Mapping[str, RunSummary],
    touched: set[str],
    marks: dict[str, Any],
) -> Changes:
    """The runs of the rows, as they were read or else known, and how they differ from those known."""
    foreign = set(marks["others"])
    runs, changed = [], []
    for run_id, row in rows.items():
        before = known.get(run_id)
        run = read.get(run_id) or (None if before is None else _as_in(row, before))
        if run is None or run_id in foreign:
            continue
        runs.append(run)
        if run is not before and run.status in ENDED and not run.is_as(before):
            changed.append(run)
    runs.sort(key=lambda run: (-run.started_at.timestamp(), run.run_id))
    # Deleted, and perhaps changed since; not cvexp's any more; or running again.
    gone = [run_id for run_id in known if (run_id in touched and run_id not in read) or run_id in foreign]
    reopened = [run_id for run_id, run in read.items() if run.status not in ENDED and run_id in known]
    return Changes(runs=runs, changed=changed, dropped=[*gone, *reopened], marks=marks)


def _touched(
    database: sqlite3.Connection, file: Path, marks: Mapping[str, Any]
) -> tuple[dict[str, Any], set[str] | None]:
    """The new marks, and the runs with rows that are not as they were; None where that cannot be told."""
    state = _state(database, file)
    if state is not None and state == marks.get("state"):
        return {name: marks[name] for name in ("state", "ends", "blocks")}, set()
    ends, added = _appended(database, marks)
    blocks, tagged = _tags(database, marks.get("blocks"))
    return {"state": state, "ends": ends, "blocks": blocks}, None if added is None else added | tagged


def _as_in(row: tuple[Any, ...], run: RunSummary) -> RunSummary:
    """The run with the columns of its row: the same object where nothing differs."""
    _, name, status, _, uri, started = row
    if (name or "", status, uri or "") == (run.name, run.status, run.artifacts_uri):
        return run
    at = datetime.fromtimestamp(started / 1000, tz=UTC)
    return replace(run, name=name or "", status=status, artifacts_uri=uri or "", started_at=at)


def _state(database: sqlite3.Connection, file: Path) -> str | None:
    """The change counter in the file's header, with its size; None in WAL mode, where the counter does not say all."""
    if database.execute("PRAGMA journal_mode").fetchone()[0] == "wal":
        return None
    with file.open("rb") as stream:
        header = stream.read(100)
    return f"{header[24:28].hex()}-{file.stat().st_size}"


def _appended(database: sqlite3.Connection, marks: Mapping[str, Any]) -> tuple[dict[str, Any], set[str] | None]:
    """The last row of each table that is only added to, and the runs with rows behind the last one that was known.

    The runs are None where the last row that was known has another number now, as after VACUUM.
    """
    ends, touched = {}, set()
    whole = "ends" in marks
    for table in APPENDED:
        last = f"SELECT rowid, key, run_uuid FROM {table} ORDER BY rowid DESC LIMIT 1"  # noqa: S608 - words of our own
        ends[table] = list(database.execute(last).fetchone() or (0, "", ""))
        if not whole:
            continue
        end = marks["ends"][table]
        same = f"SELECT rowid, key, run_uuid FROM {table} WHERE rowid = ?"  # noqa: S608 - words of our own
        found = database.execute(same, (end[0],)).fetchone()
        whole = list(found or (0, "", "")) == list(end)
        added = f"SELECT DISTINCT run_uuid FROM {table} WHERE rowid > ?"  # noqa: S608 - words of our own
        touched |= {run_id for (run_id,) in database.execute(added, (end[0],))}
    return ends, touched if whole else None


def _tags(database: sqlite3.Connection, before: list[str] | None) -> tuple[list[str], set[str]]:
    """A digest of each block of tags, and the runs that have tags in a block with another one than before, if any."""
    (last,) = database.execute("SELECT coalesce(max(rowid), 0) FROM tags").fetchone()
    text = f"CASE key WHEN '{_NOTE}' THEN '' ELSE coalesce(CAST(value AS TEXT), char(30)) END"
    block = f"SELECT count(*), group_concat({text}, char(31)) FROM tags WHERE rowid >= ? AND rowid < ?"  # noqa: S608
    digests, touched = [], set()
    for n, start in enumerate(range(0, last + 1, BLOCK)):
        n_rows, joined = database.execute(block, (start, start + BLOCK)).fetchone()
        content = f"{n_rows}\n{joined}".encode(errors="surrogatepass")
        digests.append(hashlib.blake2b(content, digest_size=8).hexdigest())
        if before is not None and (n >= len(before) or before[n] != digests[n]):
            runs = "SELECT DISTINCT run_uuid FROM tags WHERE rowid >= ? AND rowid < ?"
            touched |= {run_id for (run_id,) in database.execute(runs, (start, start + BLOCK))}
    return digests, touched
