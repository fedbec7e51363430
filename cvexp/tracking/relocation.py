"""A local store that was moved: the folders of artifacts in its tables are rewritten, in one transaction.

MLflow records absolute folders: of experiments, runs, logged models, versions in the registry, and traces. A database
that is moved with its `mlruns` names the old ones, where MLflow's pages and client then find nothing.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.errors import RunError, StoreError
from cvexp.tracking.artifacts import local_path
from cvexp.tracking.checks import check_settings
from cvexp.tracking.journal import Journal
from cvexp.tracking.liveness import is_gone
from cvexp.tracking.local import folders, leftovers, lock_if_free
from cvexp.tracking.store import artifact_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cvexp.settings import StoreSettings

LOCK_SECONDS = 5.0
COLUMNS = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
    "trace_tags": ("value",),
}
"""Tables and columns of MLflow 3.17 that hold a place of artifacts; of `trace_tags` the rows of one key."""

_TRACES = "key = 'mlflow.artifactLocation'"
_ARTIFACTS, _URI = "artifacts", "artifacts_uri"
_ROOT = "replace(artifact_uri, '/' || experiment_id || '/' || run_uuid || '/artifacts', '')"
"""In SQL, the folder that has those of all experiments."""

MOST_TRIED = 1000
"""Runs whose artifacts are looked for in the new place, until some are found."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """A place in a table, and what it becomes."""

    table: str
    column: str
    row: int
    old: str
    new: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Relocation:
    """What a relocation changes.

    Attributes:
        moved: Old folders, and where what was in them is now.
        changes: In the database.
        journals: Folders of runs here whose journals name an old place.
        n_runs: Runs whose place changes; `n_found` of them have artifacts where it says then.
        missing: The places of the first of those that have none.
    """

    moved: Mapping[Path, Path]
    changes: tuple[Change, ...]
    journals: tuple[Path, ...]
    n_runs: int
    n_found: int
    missing: tuple[str, ...] = ()

    @property
    def counts(self) -> dict[str, int]:
        """Changes by table and column."""
        counts: dict[str, int] = {}
        for one in self.changes:
            counts[f"{one.table}.{one.column}"] = counts.get(f"{one.table}.{one.column}", 0) + 1
        return counts


def moved_roots(database: sqlite3.Connection, settings: StoreSettings) -> dict[Path, Path]:
    """Folders that runs are recorded below and that are not there, where this store's own folder has these runs."""
    if settings.sqlite_file is None:
        return {}
    root, found = artifact_root(settings.sqlite_file), {}
    for (text,) in database.execute(f"SELECT DISTINCT {_ROOT} FROM runs WHERE artifact_uri LIKE '%/artifacts'"):  # noqa: S608 - words of our own
        old = local_path(text or "")
        if old is None or not old.is_absolute() or old == root or old.is_dir():
            continue
        query = f"SELECT experiment_id, run_uuid FROM runs WHERE {_ROOT} = ? ORDER BY start_time LIMIT {MOST_TRIED}"  # noqa: S608 - likewise
        ends = database.execute(query, (text,)).fetchall()
        if any((root / str(experiment_id) / str(run_id) / _ARTIFACTS).is_dir() for experiment_id, run_id in ends):
            found[old] = root
    return found


def plan(settings: StoreSettings, *, old: Path | None = None, new: Path | None = None) -> Relocation:
    """What is to be changed; nothing is written. By default what `moved_roots` finds, else folders below `old`.

    Raises:
        StoreError: The store is no local one, or cannot be read, or nothing is in the new place.
    """
    file = _database_of(settings)
    with _opened(file, write=False) as database:
        moved = {old.absolute(): new.absolute()} if old and new else moved_roots(database, settings)
        changes = tuple(_changes(database, moved))
    journals = tuple(folder for folder in folders(settings) if _new_fact(folder, moved))
    runs = [one for one in changes if one.table == "runs"]
    missing = [one.new for one in runs if not ((path := local_path(one.new)) and path.is_dir())]
    if runs and len(missing) == len(runs):
        raise StoreError(
            f"no run has artifacts in the new place: {missing[0]} is not there",
            "move mlruns there first, or name another folder with --to",
        )
    return Relocation(
        moved=moved,
        changes=changes,
        journals=journals,
        n_runs=len(runs),
        n_found=len(runs) - len(missing),
        missing=tuple(missing[:3]),
    )


def relocate(settings: StoreSettings, planned: Relocation) -> Path | None:
    """Do what was planned, and give the backup of the database, made first; None where only journals changed.

    Raises:
        StoreError: A run is being written, the store changed meanwhile, or cannot be written.
    """
    file = _database_of(settings)
    _refuse_writers(settings)
    backup = _rewrite(file, planned) if planned.changes else None
    for folder in planned.journals:
        with contextlib.suppress(RunError), lock_if_free(folder) as free:
            if free and (fact := _new_fact(folder, planned.moved)):
                journal = Journal(folder)
                journal.mark_sent(journal.records[journal.n_sent - 1], {_URI: fact})
    return backup


def _rewrite(file: Path, planned: Relocation) -> Path:
    backup = file.with_name(f"{file.name}.before-relocate-{time.strftime('%Y%m%d-%H%M%S')}")
    try:
        with _opened(file, write=True) as database:
            _back_up(file, backup)
            n_changed = 0
            for one in planned.changes:
                query = f"UPDATE {one.table} SET {one.column} = ? WHERE rowid = ? AND {one.column} = ?"  # noqa: S608 - words of our own
                n_changed += database.execute(query, (one.new, one.row, one.old)).rowcount
            _check(database, planned, n_changed)
            database.commit()
    except StoreError:
        backup.unlink(missing_ok=True)
        raise
    return backup


def _check(database: sqlite3.Connection, planned: Relocation, n_changed: int) -> None:
    """Raise StoreError where other places are in the store than were planned for."""
    if n_changed != len(planned.changes) or any(True for _ in _changes(database, planned.moved)):
        raise StoreError("the store was changed meanwhile; nothing was rewritten", "try again")


def _back_up(file: Path, backup: Path) -> None:
    """Copy the database, which this process holds for writing, so that it does not change meanwhile."""
    try:
        with _opened(file, write=False) as source, contextlib.closing(sqlite3.connect(backup)) as target:
            source.backup(target)
    except (sqlite3.Error, OSError) as error:
        raise StoreError(f"no backup can be made at {backup}: {error}", "nothing was changed") from error


def _changes(database: sqlite3.Connection, moved: Mapping[Path, Path]) -> Iterator[Change]:
    for table, columns in COLUMNS.items():
        here = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        for column in here & set(columns):
            only = f" AND {_TRACES}" if table == "trace_tags" else ""
            query = f"SELECT rowid, {column} FROM {table} WHERE {column} IS NOT NULL{only}"  # noqa: S608 - words of our own
            for row, text in database.execute(query).fetchall():
                new = moved_place(str(text), moved)
                if new is not None:
                    yield Change(table=table, column=column, row=row, old=text, new=new)


def moved_place(text: str, moved: Mapping[Path, Path]) -> str | None:
    """A place of artifacts with the folder that it was moved to, spelt as before; None where it was not moved.

    MLflow decodes a plain path like a URI, so that one with characters that a URI escapes becomes a URI.
    """
    path = local_path(text)
    if path is None or not path.is_absolute():
        return None
    for old, new in moved.items():
        if path.is_relative_to(old) and not (new.is_relative_to(old) and path.is_relative_to(new)):
            place = new / path.relative_to(old)
            plain = not text.startswith("file:") and place.as_uri() == f"file://{place}"
            return str(place) if plain else place.as_uri()
    return None


def _new_fact(folder: Path, moved: Mapping[Path, Path]) -> str | None:
    """What a journal's fact about the run's artifacts becomes; None where it stays."""
    with contextlib.suppress(RunError):
        journal = Journal(folder)
        if journal.n_sent:
            return moved_place(str(journal.facts.get(_URI, "")), moved)
    return None


def _database_of(settings: StoreSettings) -> Path:
    check_settings(settings, create=False)
    if settings.sqlite_file is None:
        raise StoreError(
            "only a local store (sqlite:///…) is relocated: a server says where its artifacts are",
            "where its database is, change it with the server's own tools",
        )
    return settings.sqlite_file


def _refuse_writers(settings: StoreSettings) -> None:
    """Raise StoreError while a process writes a run here, or one that is not known to have ended."""
    names = [one.name or one.run_id for one in leftovers(settings) if one.status == "RUNNING"]
    with _opened(_database_of(settings), write=False) as database:
        running = database.execute("SELECT run_uuid FROM runs WHERE status = 'RUNNING' AND lifecycle_stage = 'active'")
        for (run_id,) in running.fetchall():
            tags = dict(database.execute("SELECT key, value FROM tags WHERE run_uuid = ?", (run_id,)).fetchall())
            names += [] if is_gone(tags) else [tags.get("mlflow.runName", run_id)]
    if names:
        raise StoreError(
            f"run {names[0]} is under way; places are rewritten only while no run is written", "wait for it, or end it"
        )


@contextlib.contextmanager
def _opened(file: Path, *, write: bool) -> Iterator[sqlite3.Connection]:
    """The database; with `write` in a transaction that excludes other writers, and is rolled back unless committed."""
    uri = f"{file.absolute().as_uri()}?mode={'rw' if write else 'ro'}"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS)) as database:
            database.isolation_level = None
            database.execute("BEGIN IMMEDIATE" if write else "BEGIN")
            yield database
    except sqlite3.Error as error:
        raise StoreError(f"{file} cannot be {'written' if write else 'read'}: {error}", "see: cvexp doctor") from error
