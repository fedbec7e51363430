"""Open an MLflow store, creating its schema once even when many processes want to."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

from cvexp import process
from cvexp.errors import StoreError, UnreachableStoreError
from cvexp.redaction import password_needs_encoding, without_credentials
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    from cvexp.settings import StoreSettings

CREATION_TIMEOUT_SECONDS = 300
READER_TIMEOUT_SECONDS = 5
"""How long a command that only reads waits for a store that another process is creating."""

KNOCK_SECONDS = 3
LONGEST_NAME = 500
"""Characters of an experiment's name that MLflow takes."""

_SQLITE_MAGIC = b"SQLite format 3\x00"
_KINDS = ("sqlite", "postgresql", "mysql", "mssql", "http", "https", "databricks")


@dataclass(frozen=True, kw_only=True, slots=True)
class Store:
    """An open store and the experiment in it that is read and written."""

    settings: StoreSettings
    client: MlflowClient
    experiment_id: str


def open_store(
    settings: StoreSettings, *, create: bool, waiting: Callable[[], AbstractContextManager[None]] | None = None
) -> Store:
    """Open the store, with its experiment.

    Args:
        settings: Which one.
        create: Whether to make a store and an experiment that do not exist yet. Say False for commands that
            only read, so that a typo leaves nothing behind.
        waiting: Entered while this process or another one is creating the store.

    Raises:
        UnreachableStoreError: The store does not answer now.
        StoreError: The store cannot be opened, or does not exist and was not to be created.
    """
    check_settings(settings, create=create)
    knock(settings)
    with _creation_lock(settings, create=create, waiting=waiting), translated(settings):
        client = _client(settings)
        experiment = client.get_experiment_by_name(settings.experiment)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise StoreError(
                f"experiment {settings.experiment!r} was deleted",
                "restore it: " + settings.mlflow_command("experiments", "restore", "-x", experiment.experiment_id),
                "or name another with --experiment",
            )
        if experiment is not None:
            experiment_id = experiment.experiment_id
        elif create:
            experiment_id = _create_experiment(settings, client)
        else:
            names = ", ".join(e.name for e in client.search_experiments(max_results=10))
            raise StoreError(f"no experiment is called {settings.experiment!r}", f"there are: {names}")
        if not experiment_id:
            raise StoreError(
                f"{without_credentials(settings.tracking_uri)} answers, but not as MLflow's server does",
                "check --tracking-uri (or MLFLOW_TRACKING_URI)",
            )
    return Store(settings=settings, client=client, experiment_id=experiment_id)


def _client(settings: StoreSettings) -> MlflowClient:
    """MLflow's client; a local database is created first, with its default experiment's artifacts beside it."""
    load_mlflow(settings)
    from mlflow import MlflowClient

    file = settings.sqlite_file
    if file is not None and not _is_complete(file):
        _local_store(settings, file)
    return MlflowClient(tracking_uri=settings.tracking_uri)


def _create_experiment(settings: StoreSettings, client: MlflowClient) -> str:
    file = settings.sqlite_file
    made = (_local_store(settings, file) if file is not None else client).create_experiment(settings.experiment)
    return str(made)


def _local_store(settings: StoreSettings, file: Path) -> SqlAlchemyStore:
    """MLflow's store on a local database, created if need be.

    What it creates keeps its artifacts beside the database. MlflowClient would put them into the working folder.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    root = artifact_root(file)
    # MLflow decodes a location, and puts it into SQL between quotes.
    plain = root.as_uri() == f"file://{root}"
    return SqlAlchemyStore(settings.tracking_uri, str(root) if plain else root.as_uri())


def artifact_root(file: Path) -> Path:
    """The folder of the artifacts of a local store whose database is `file`."""
    return file.absolute().parent / "mlruns"


def _is_complete(file: Path) -> bool:
    """Whether the database has experiments; MLflow makes the first one when it has made and migrated all tables."""
    try:
        with contextlib.closing(sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", uri=True)) as database:
            return database.execute("SELECT 1 FROM experiments LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return False


def load_mlflow(settings: StoreSettings) -> None:
    """Import what it takes to use the store.

    In cvexp's own process MLflow is quiet, without telemetry, and patient for seconds rather than minutes; in
    somebody else's it is as they have set it, and it is the deadline of `sender.Patience` that bounds the waiting.
    """
    if process.is_own():
        for name, value in _OWN_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
    import mlflow

    if not settings.tracking_uri.startswith("http"):
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - likewise
    mute()


_OWN_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_UV_AUTO_DETECT": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "GIT_PYTHON_REFRESH": "quiet",
}


def mute() -> None:
    """Silence MLflow's loggers in cvexp's own process: what goes wrong is raised too, and said once, by cvexp."""
    if process.is_own():
        # The last one has a level of its own; it prints tracebacks of what it raises.
        for noisy in ("mlflow", "alembic", "sqlalchemy", "urllib3", "mlflow.store.db.utils"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)


def check_settings(settings: StoreSettings, *, create: bool) -> None:
    """Refuse at once what MLflow would refuse after minutes of retries, or with a page of traceback.

    Raises:
        StoreError: The store cannot be opened, whatever happens.
    """
    name = settings.experiment
    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise StoreError(
            f"not a name for an experiment: {shown(name)}",
            f"1 to {LONGEST_NAME} characters, and no control characters, for example: --experiment first",
        )
    uri = without_credentials(settings.tracking_uri)
    kind = settings.tracking_uri.partition(":")[0].partition("+")[0]
    if "://" not in settings.tracking_uri or kind not in _KINDS:
        raise StoreError(
            f"not a tracking URI cvexp can use: {uri!r}",
            "for example: sqlite:///mlflow.db, postgresql://host/name or http://host:5000",
        )
    if kind in ("http", "https"):
        _check_address(settings.tracking_uri)
    if kind == "sqlite":
        _check_database(settings, create=create)


def _check_database(settings: StoreSettings, *, create: bool) -> None:
    """Refuse a database file that cannot be opened, or made."""
    file = settings.sqlite_file
    if file is None:
        raise StoreError(
            f"not a path to a database: {without_credentials(settings.tracking_uri)!r}",
            "three slashes for a relative path: sqlite:///mlflow.db",
        )
    if not _is_utf8(file.absolute()):
        raise StoreError(
            f"cannot keep runs in {file.absolute().parent}: its name is not valid UTF-8",
            "rename the folder, go to another one, or name another store with --tracking-uri",
        )
    if not file.exists():
        if not create:
            start = settings.command("train", "linear")
            raise StoreError(f"no runs here yet: {file.absolute()} does not exist", f"start one: {start}")
        if not file.parent.is_dir() or not os.access(file.parent, os.W_OK):
            raise StoreError(
                f"cannot create {file}: {file.parent.absolute()} is not a folder one can write to",
                "go to another folder, or name another store with --tracking-uri",
            )
    elif not file.is_file() or not _is_sqlite(file):
        raise StoreError(f"{file} is not an SQLite database", "move it away, or name another store with --tracking-uri")
    elif create and not os.access(file, os.W_OK):
        raise StoreError(f"{file} is not writable", "change its permissions, or name another store with --tracking-uri")


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_address(uri: str) -> None:
    """Refuse an http address that names no host, or a port that is none."""
    if password_needs_encoding(uri):
        raise StoreError(
            f"the password in {without_credentials(uri)!r} holds a character that an address cannot hold",
            "write / as %2F, ? as %3F, # as %23 and @ as %40",
        )
    try:
        parts = urlsplit(uri)
        sound = bool(parts.hostname) and parts.port != 0
    except ValueError:
        sound = False
    if not sound:
        raise StoreError(f"not an address: {without_credentials(uri)!r}", "for example: http://host:5000")


def knock(settings: StoreSettings) -> None:
    """See in a moment whether anyone listens, where MLflow would try again and again."""
    address = urlsplit(settings.tracking_uri)
    if address.scheme not in ("http", "https") or not address.hostname:
        return
    if getproxies().get(address.scheme) and not proxy_bypass(address.hostname):
        return  # only the proxy can be reached from here
    try:
        port = address.port or (443 if address.scheme == "https" else 80)
        socket.create_connection((address.hostname, port), timeout=KNOCK_SECONDS).close()
    except (OSError, ValueError) as error:
        reason = str(getattr(error, "strerror", None) or error or "no answer in time").lower()
        raise UnreachableStoreError(
            f"the tracking store {without_credentials(settings.tracking_uri)} does not answer: {reason}",
            "check --tracking-uri (or MLFLOW_TRACKING_URI) and that the store is up",
        ) from error


def _is_sqlite(file: Path) -> bool:
    """Whether the file starts as SQLite's do; an empty one is a database that was just begun."""
    with file.open("rb") as stream:
        return stream.read(len(_SQLITE_MAGIC)) in (_SQLITE_MAGIC, b"")


@contextlib.contextmanager
def _creation_lock(
    settings: StoreSettings, *, create: bool, waiting: Callable[[], AbstractContextManager[None]] | None
) -> Iterator[None]:
    """Let one process at a time open a local store: several that create its schema together break it.

    A store that is complete can be read at any time. One that is only read, in a folder that cannot be written to, is
    nobody's to create.
    """
    file = settings.sqlite_file
    if file is None or not (create or (os.access(file.parent, os.W_OK) and not _is_complete(file))):
        yield
        return
    seconds = CREATION_TIMEOUT_SECONDS if create else READER_TIMEOUT_SECONDS
    from filelock import FileLock, Timeout

    try:
        folder = make_state_dir(settings)
        lock = FileLock(folder / "store.lock", timeout=seconds)
        creating = contextlib.nullcontext if file.exists() else waiting or contextlib.nullcontext
        with (waiting or contextlib.nullcontext)():
            lock.acquire()
        try:
            with creating():
                yield
        finally:
            lock.release()
    except Timeout as error:
        raise StoreError(
            f"another process is creating {file} and has held {settings.state_dir / 'store.lock'} for {seconds} s",
            "try again in a minute, or end that process",
        ) from error


def make_state_dir(settings: StoreSettings) -> Path:
    """Make the folder for local state, which hides itself from git.

    Raises:
        StoreError: It cannot be made.
    """
    folder = settings.state_dir
    try:
        folder.mkdir(exist_ok=True)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        raise StoreError(
            f"cannot write to {folder.absolute()}: {error.strerror}", "check the folder's permissions"
        ) from error
    return folder


@contextlib.contextmanager
def translated(settings: StoreSettings) -> Iterator[None]:
    """Turn what MLflow and its database raise into a StoreError of one readable line.

    A server may answer anything, and MLflow's client then raises anything.
    """
    from google.protobuf.json_format import Error as AnswerError  # type: ignore[import-untyped]  # carries no types
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    expected: tuple[type[Exception], ...] = (MlflowException, SQLAlchemyError, OSError)
    if settings.sqlite_file is None:
        expected += (AnswerError, ValueError, TypeError, KeyError, AttributeError)
    uri = without_credentials(settings.tracking_uri)
    try:
        yield
    except ImportError as error:
        driver = error.name or "its driver"
        raise StoreError(
            f"the tracking store {uri} takes a package that is not here: {driver}", f"for example: pip install {driver}"
        ) from error
    except expected as error:
        if (why := _outage(error)) is not None:
            raise UnreachableStoreError(
                f"the tracking store {uri} does not answer: {why}",
                "check --tracking-uri (or MLFLOW_TRACKING_URI) and that the store is up",
            ) from error
        if (found := _STATUS.search(str(error))) is not None:
            status = found[1] or found[2]
            sign_in = "sign in with MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or "
            raise StoreError(
                f"the tracking store {uri} answers with HTTP status {status}",
                f"{sign_in if status in _DENIED else ''}check --tracking-uri (or MLFLOW_TRACKING_URI)",
            ) from error
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise StoreError(
            f"the tracking store {uri} does not answer as it should: {without_credentials(first)[:200]}",
            "check --tracking-uri (or MLFLOW_TRACKING_URI) and that the store is up",
        ) from error


_DENIED = ("401", "403")
_STATUS = re.compile(r"error code (\d{3}) != 200|too many (\d{3}) error responses")
_OUTAGES = {
    "database is locked": "another process holds its database",
    "connection refused": "connection refused",
    "timed out": "no answer in time",
    "name resolution": "its host is unknown",
    "failed to resolve": "its host is unknown",
    "could not connect": "no connection",
    "connection aborted": "the connection broke",
    "failed with exception": "no connection",
}


def _outage(error: BaseException) -> str | None:
    """Why the store does not answer now, where it may later; None for any other trouble."""
    text = str(error).lower()
    if "error responses" in text:
        return None
    return next((why for sign, why in _OUTAGES.items() if sign in text), None)
