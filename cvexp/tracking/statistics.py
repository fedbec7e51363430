"""The statistics by which SQLite plans its queries, kept near the truth in local stores that have grown large.

Without them SQLite guesses that a filter on a key leaves few rows, and sorts runs by a metric in time that grows with
the square of their number, as MLflow's pages ask for at each click on a column: 10 s for 10,000 runs, 0.05 s with them.
"""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvexp.settings import StoreSettings

MIN_RUNS = 1000
"""A store with fewer is fast without statistics."""

GROWTH = 5
"""A store that has so many times as many runs as its statistics say is analysed again; they are off by two and more."""

LOCK_SECONDS = 1.0
ROWS_LOOKED_AT = 1000  # of each index: SQLite's own recommendation


def refresh_statistics(settings: StoreSettings) -> bool:
    """Run `ANALYZE` on a local SQLite store that has outgrown its statistics; returns whether it did.

    It writes to the store, and so belongs after a write or before the pages are served, never into a query. Finding
    out that nothing is to be done takes a millisecond. What fails, as in a store that is locked, is left to a later
    time.
    """
    file = settings.sqlite_file
    if file is None:
        return False
    with contextlib.suppress(sqlite3.Error), contextlib.closing(_opened(file.absolute().as_uri())) as database:
        (n_runs,) = database.execute("SELECT coalesce(max(rowid), 0) FROM runs").fetchone()
        if n_runs < MIN_RUNS or n_runs < GROWTH * _known_runs(database):
            return False
        database.execute(f"PRAGMA analysis_limit = {ROWS_LOOKED_AT}")
        database.execute("ANALYZE")
        return True
    return False


def _opened(uri: str) -> sqlite3.Connection:
    return sqlite3.connect(f"{uri}?mode=rw", uri=True, timeout=LOCK_SECONDS, isolation_level=None)


def _known_runs(database: sqlite3.Connection) -> int:
    """How many runs the store had when it was analysed; 0 where it never was."""
    try:
        found = database.execute("SELECT max(CAST(stat AS INTEGER)) FROM sqlite_stat1 WHERE tbl = 'runs'").fetchone()
    except sqlite3.OperationalError:  # no such table
        return 0
    return found[0] or 0
