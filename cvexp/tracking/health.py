"""How the tracking store is: whether it answers, its schema, size, runs and artifacts. Nothing is written.

A database is asked in SQL, since MLflow's own store would create or migrate its tables. Every question has a deadline.
"""

from __future__ import annotations

import contextlib
import importlib.util
import re
import shlex
import sqlite3
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvexp.errors import CvexpError
from cvexp.redaction import without_credentials
from cvexp.text import shown
from cvexp.tracking.checks import check_reachable, check_settings
from cvexp.tracking.finding import Finding, Level, of_error
from cvexp.tracking.liveness import is_gone
from cvexp.tracking.relocation import moved_roots

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from cvexp.settings import StoreSettings

ANSWER_SECONDS = 15.0
"""How long a store is waited for in all."""

CHECK_SECONDS, LOCK_SECONDS = 2.0, 3.0
"""For SQLite's check of all pages, and for a process that writes."""

MANY_RUNS = 2000
"""From so many on SQLite takes seconds to order runs, unless its tables were analysed."""

_SCHEMA = re.compile(r"^(revision|down_revision)\s*(?::[^=]+)?=\s*[\"'](\w+)[\"']", re.MULTILINE)
_ALIVE = "SELECT run_uuid FROM runs WHERE status = 'RUNNING' AND lifecycle_stage = 'active'"
_PROCESS = f"SELECT run_uuid, key, value FROM tags WHERE key LIKE 'cvexp.%' AND run_uuid IN ({_ALIVE})"  # noqa: S608 - words of our own
_COUNTS = {
    "runs": "SELECT count(*) FROM runs WHERE lifecycle_stage = 'active'",
    "deleted": "SELECT count(*) FROM runs WHERE lifecycle_stage = 'deleted'",
    "experiments": "SELECT count(*) FROM experiments WHERE lifecycle_stage = 'active'",
}


def store_findings(settings: StoreSettings) -> list[Finding]:
    """What is known of the store within `ANSWER_SECONDS`; a store that was never made is worth a note only."""
    file = settings.sqlite_file
    if file is not None and not file.exists():
        start = settings.command("train", "linear")
        return [Finding(topic="store", text=f"none yet: {file} does not exist", level=Level.NOTE, remedy=start)]
    try:
        check_settings(settings, create=False)
        check_reachable(settings)
        served = settings.tracking_uri.startswith(("http", "databricks"))
        kind = _of_file if file is not None else _of_server if served else _of_database
        return _within(ANSWER_SECONDS, lambda: kind(settings), settings)
    except CvexpError as error:
        return [of_error("store", error)]


def _within(seconds: float, ask: Callable[[], Iterable[Finding]], settings: StoreSettings) -> list[Finding]:
    """What `ask` finds in a thread in so many seconds; a problem where that is nothing."""
    found: list[Finding] = []

    def work() -> None:
        try:
            found.extend(ask())  # one by one
        except CvexpError as error:
            found.append(of_error("store", error))

    thread = threading.Thread(target=work, name="cvexp-doctor", daemon=True)
    thread.start()
    thread.join(seconds)
    so_far = list(found)
    if thread.is_alive():
        text = f"{without_credentials(settings.tracking_uri)} has not answered everything within {seconds:g} s"
        so_far.append(Finding(topic="store", text=text, level=Level.NOTE if so_far else Level.PROBLEM))
    return so_far


def _of_file(settings: StoreSettings) -> Iterator[Finding]:
    file = settings.sqlite_file
    assert file is not None  # noqa: S101 - the caller asked
    try:
        uri = f"{file.absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=LOCK_SECONDS)) as database:
            yield from _of_tables(database, file, settings)
    except sqlite3.Error as error:
        why = "another process holds it" if "locked" in str(error) else "restore it from a backup"
        yield Finding(topic="store", text=f"{file} cannot be read: {error}; {why}", level=Level.PROBLEM)


def _of_tables(database: sqlite3.Connection, file: Path, settings: StoreSettings) -> Iterator[Finding]:
    def ask(query: str) -> list[tuple[Any, ...]]:
        return database.execute(query).fetchall()

    if not ask("SELECT 1 FROM sqlite_master WHERE name = 'experiments'"):
        start = settings.command("train", "linear")
        yield Finding(topic="store", text=f"{file} has no tables of MLflow's yet", level=Level.NOTE, remedy=start)
        return
    counts = {name: int(ask(query)[0][0]) for name, query in _COUNTS.items()}
    yield Finding(topic="store", text=f"{file} ({file.stat().st_size / 1e6:,.1f} MB), {_counted(counts)}")
    yield _of_schema([row[0] for row in ask("SELECT version_num FROM alembic_version")], settings)
    analysed = bool(ask("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_stat1'"))
    if counts["runs"] >= MANY_RUNS and not analysed:
        text = f"{counts['runs']:,} runs, and no statistics of the tables: to order them by a metric takes long"
        remedy = f'sqlite3 {shlex.quote(str(file))} "PRAGMA analysis_limit=1000; ANALYZE"'
        yield Finding(topic="store", text=text, level=Level.NOTE, remedy=remedy)
    yield from _of_dead_runs(ask(_ALIVE), ask(_PROCESS), settings)
    yield from _of_artifacts(database, settings)
    yield _of_pages(database)


def _counted(counts: dict[str, int]) -> str:
    trash = f" and {counts['deleted']:,} in the trash" if counts["deleted"] else ""
    plural = "" if counts["experiments"] == 1 else "s"
    runs = f"{counts['runs']:,} run{'' if counts['runs'] == 1 else 's'}{trash}"
    return f"{runs}, {counts['experiments']:,} experiment{plural}"


def _of_pages(database: sqlite3.Connection) -> Finding:
    """SQLite's own check of the file's structure, as far as it comes in `CHECK_SECONDS`."""
    end = time.monotonic() + CHECK_SECONDS
    database.set_progress_handler(lambda: time.monotonic() > end, 500)
    try:
        answer = database.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.OperationalError:
        return Finding(topic="store", text=f"its pages were checked for {CHECK_SECONDS:.0f} s: no damage found so far")
    finally:
        database.set_progress_handler(None, 0)
    if answer == "ok":
        return Finding(topic="store", text="all its pages are sound (PRAGMA quick_check)")
    what = f"damaged: {shown(answer)}; restore it from a backup"
    return Finding(topic="store", text=what, level=Level.PROBLEM)


def _of_schema(versions: Iterable[object], settings: StoreSettings) -> Finding:
    """The schema's version beside the newest that the installed MLflow knows."""
    found, known = ", ".join(map(str, versions)) or "none", schema_versions()
    if not known:
        return Finding(topic="schema", text=f"version {found}; that of the installed MLflow is not known")
    newest, all_known = known
    if found == newest:
        return Finding(topic="schema", text=f"version {found}, as the installed MLflow has it")
    if found in all_known:
        text = f"version {found}, older than the installed MLflow's {newest}; back the database up first"
        uri = without_credentials(settings.tracking_uri)
        return Finding(topic="schema", text=text, level=Level.PROBLEM, remedy=f"mlflow db upgrade {uri}")
    text = f"version {shown(found)} is not known to the installed MLflow, whose newest is {newest}"
    return Finding(topic="schema", text=text, level=Level.PROBLEM, remedy="pip install --upgrade mlflow")


def schema_versions() -> tuple[str, frozenset[str]] | None:
    """The newest version of the installed MLflow's schema, and all that it knows; read without importing MLflow."""
    spec = importlib.util.find_spec("mlflow")
    places = (spec.submodule_search_locations or ()) if spec else ()
    folders = [Path(one) / "store/db_migrations/versions" for one in places]
    texts = [file.read_text(encoding="utf-8") for folder in folders for file in sorted(folder.glob("*.py"))]
    pairs = [pair for text in texts for pair in _SCHEMA.findall(text)]
    known = frozenset(version for name, version in pairs if name == "revision")
    newest = known - {version for name, version in pairs if name == "down_revision"}
    return (next(iter(newest)), known) if len(newest) == 1 else None


def _of_dead_runs(
    running: list[tuple[Any, ...]], tags: list[tuple[Any, ...]], settings: StoreSettings
) -> list[Finding]:
    """Runs that the store calls RUNNING: those of processes that are gone, and of others."""
    by_run: dict[str, dict[str, str]] = {run_id: {} for (run_id, *_) in running}
    for run_id, key, value in tags:
        by_run[str(run_id)][str(key)] = str(value)
    dead = [run_id for run_id, of_run in by_run.items() if is_gone(of_run)]
    found = []
    if dead:
        text = f"{_runs(len(dead))} RUNNING, but the process is gone: {_some(dead)}; the next command closes them"
        found.append(Finding(topic="runs", text=text, level=Level.NOTE, remedy=settings.command("compare")))
    if left := [run_id for run_id in by_run if run_id not in dead]:
        found.append(Finding(topic="runs", text=f"{_runs(len(left))} under way, here or elsewhere: {_some(left)}"))
    return found


def _runs(n: int) -> str:
    return f"{n:,} run{' is' if n == 1 else 's are'}"


def _some(run_ids: list[str]) -> str:
    return ", ".join(one[:12] for one in run_ids[:3]) + (", …" if len(run_ids) > 3 else "")  # noqa: PLR2004 - a line


def _of_artifacts(database: sqlite3.Connection, settings: StoreSettings) -> list[Finding]:
    moved = moved_roots(database, settings)
    if not moved:
        return []
    old, new = next(iter(moved.items()))
    text = f"artifacts are recorded below {old}, which is not there; they are below {new}"
    remedy = settings.command("relocate")
    return [Finding(topic="artifacts", text=text, level=Level.PROBLEM, remedy=remedy)]


def _of_database(settings: StoreSettings) -> list[Finding]:
    """A database on a server, asked through SQLAlchemy."""
    from cvexp.tracking.mlflow_errors import translated

    with translated(settings):
        import sqlalchemy

        engine = sqlalchemy.create_engine(settings.tracking_uri)
        try:
            with engine.connect() as connection:

                def ask(query: str) -> list[tuple[Any, ...]]:
                    return [tuple(row) for row in connection.execute(sqlalchemy.text(query))]

                if not sqlalchemy.inspect(engine).has_table("alembic_version"):
                    return [Finding(topic="store", text="it answers, and has no tables yet", level=Level.NOTE)]
                counts = {name: int(ask(query)[0][0]) for name, query in _COUNTS.items()}
                return [
                    Finding(topic="store", text=f"{without_credentials(settings.tracking_uri)}: {_counted(counts)}"),
                    _of_schema([row[0] for row in ask("SELECT version_num FROM alembic_version")], settings),
                    *_of_dead_runs(ask(_ALIVE), ask(_PROCESS), settings),
                ]
        finally:
            engine.dispose()


def _of_server(settings: StoreSettings) -> list[Finding]:
    """A tracking server, asked through MLflow's client; its schema is its own concern."""
    from cvexp.tracking.mlflow_errors import translated
    from cvexp.tracking.store import load_mlflow

    load_mlflow(settings)
    import mlflow

    start = time.perf_counter()
    with translated(settings):
        client = mlflow.MlflowClient(tracking_uri=settings.tracking_uri)
        experiments = client.search_experiments(max_results=1000)
        ms = 1e3 * (time.perf_counter() - start)
        ids = [one.experiment_id for one in experiments]
        running = client.search_runs(ids, "attributes.status = 'RUNNING'", max_results=100) if ids else []
    tags = [(run.info.run_id, key, value) for run in running for key, value in run.data.tags.items()]
    uri, n = without_credentials(settings.tracking_uri), len(ids)
    answer = f"{uri} answers in {ms:,.0f} ms: {n:,} experiment{'' if n == 1 else 's'}"
    return [
        Finding(topic="store", text=answer),
        *_of_dead_runs([(run.info.run_id,) for run in running], tags, settings),
    ]
