"""Open an MLflow store, creating its schema once even when many processes want to."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cvexp import process
from cvexp.errors import StoreError
from cvexp.redaction import without_credentials
from cvexp.settings import STATE_DIR, StoreSettings, store_settings
from cvexp.tracking.checks import check_reachable, check_settings
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.rows import read_experiments

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from mlflow import MlflowClient
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

CREATION_TIMEOUT_SECONDS = 300
READER_TIMEOUT_SECONDS = 5  # how long a command that only reads waits for a store that another process is creating


@dataclass(frozen=True, kw_only=True)
class Store:
    """An open store and the experiment in it that is read and written."""

    settings: StoreSettings
    experiment_id: str

    @cached_property
    def client(self) -> MlflowClient:
        """MLflow's client, made when it is first asked for: importing MLflow takes longer than reading a local store.

        Raises what MLflow does.
        """
        return _client(self.settings)


def open_store(
    settings: StoreSettings, *, create: bool, waiting: Callable[[], AbstractContextManager[None]] | None = None
) -> Store:
    """Open the store, with its experiment.

    With `create`, those that do not exist yet are made; commands that only read say False, so that a typo leaves
    nothing behind. `waiting` is entered while this process or another one is creating the store.

    Raises:
        UnreachableStoreError: The store does not answer now.
        StoreError: The store cannot be opened, or does not exist and was not to be created.
    """
    _prepare()
    check_settings(settings, create=create)
    check_reachable(settings)
    with _creation_lock(settings, create=create, waiting=waiting), translated(settings):
        if not create and (known := _known_here(settings)):
            return Store(settings=settings, experiment_id=known)
        client = _client(settings)
        experiment_id = _experiment_id(client, settings, create=create)
        if not experiment_id:
            raise StoreError(
                f"{without_credentials(settings.tracking_uri)} answers, but not as MLflow's server does",
                "check --tracking-uri (or MLFLOW_TRACKING_URI)",
            )
    store = Store(settings=settings, experiment_id=experiment_id)
    vars(store)["client"] = client  # it is there already
    return store


def _known_here(settings: StoreSettings) -> str | None:
    """The id of the settings' experiment in a local store; None where MLflow has to be asked for it."""
    file = settings.sqlite_file
    experiments = None if file is None else read_experiments(file)
    found = [one.id for one in experiments or () if one.name == settings.experiment and not one.is_deleted]
    return found[0] if found else None


def _experiment_id(client: MlflowClient, settings: StoreSettings, *, create: bool) -> str:
    """The id of the settings' experiment; with `create` it is made where there is none. Raises what open_store does."""
    experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None and create:
        file = settings.sqlite_file
        maker = _local_store(settings, file) if file is not None else client
        created = _created(maker, settings.experiment)
        if created is not None:
            return created
        experiment = client.get_experiment_by_name(settings.experiment)
    if experiment is None:
        names = ", ".join(e.name for e in client.search_experiments(max_results=10))
        raise StoreError(f"no experiment is called {settings.experiment!r}", f"there are: {names}")
    if experiment.lifecycle_stage == "deleted":
        raise StoreError(
            f"experiment {settings.experiment!r} was deleted",
            "restore it: " + settings.mlflow_command("experiments", "restore", "-x", experiment.experiment_id),
            "or name another with --experiment",
        )
    return str(experiment.experiment_id)


def _created(maker: MlflowClient | SqlAlchemyStore, name: str) -> str | None:
    """The id of a new experiment; None where another client has created it since it was looked up."""
    from mlflow.exceptions import MlflowException

    try:
        return str(maker.create_experiment(name))
    except MlflowException as error:
        if error.error_code == "RESOURCE_ALREADY_EXISTS":
            return None
        raise


def existing_run(store: Store, run_id: str) -> Any:
    """MLflow's run of that id, deleted ones too; None where the store has none. Raises what MLflow does."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def _client(settings: StoreSettings) -> MlflowClient:
    load_mlflow(settings)
    from mlflow import MlflowClient

    file = settings.sqlite_file
    if file is not None and not _is_complete(file):
        _local_store(settings, file)
    return MlflowClient(tracking_uri=settings.tracking_uri)


def _local_store(settings: StoreSettings, file: Path) -> SqlAlchemyStore:
    """MLflow's store on a database, made where there is none; MlflowClient's has artifacts in the working folder."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    root = artifact_root(file)
    plain = root.as_uri() == f"file://{root}"  # MLflow decodes a location, and puts it into SQL between quotes
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

    In cvexp's own process MLflow logs nothing, sends no telemetry and retries for seconds rather than minutes. In
    another it stays as its owner configured it.
    """
    _prepare()
    import mlflow

    if not settings.tracking_uri.startswith("http"):
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - likewise
    mute()


def _prepare() -> None:
    """Set what MLflow reads when it is imported, which any module may do once a store is open."""
    if process.is_own():
        for name, value in _OWN_ENVIRONMENT.items():
            os.environ.setdefault(name, value)


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
    """Silence MLflow's loggers in cvexp's own process: failures are raised as well, and cvexp reports them once."""
    if process.is_own():  # the last one has a level of its own, and prints tracebacks of what it raises
        for noisy in ("mlflow", "alembic", "sqlalchemy", "urllib3", "mlflow.store.db.utils"):
            logging.getLogger(noisy).setLevel(logging.CRITICAL)


@contextlib.contextmanager
def _creation_lock(
    settings: StoreSettings, *, create: bool, waiting: Callable[[], AbstractContextManager[None]] | None
) -> Iterator[None]:
    """Let one process at a time create a local store: several that create its schema together break it.

    A complete store is read without the lock; so is one in a read-only folder, which nobody creates.
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


def active_settings(tracking_uri: str | None = None, experiment: str | None = None) -> StoreSettings:
    """Resolve the store: arguments, then MLflow's active store and experiment, then as `settings.store_settings` does.

    MLflow is not imported for it: where nobody imported it, nobody set anything. MLflow's active experiment counts in
    MLflow's active store only.

    Raises:
        StoreError: The experiment's name cannot be read.
    """
    if "mlflow" not in sys.modules:
        return store_settings(tracking_uri, experiment)
    import mlflow

    active_uri = mlflow.get_tracking_uri() if mlflow.tracking.is_tracking_uri_set() else None
    settings = store_settings(tracking_uri or active_uri, experiment)
    # MLflow has no public way to read it that does not create an experiment.
    active_id = getattr(mlflow.tracking.fluent, "_active_experiment_id", None)
    if experiment or not active_id or settings.tracking_uri != store_settings(active_uri).tracking_uri:
        return settings
    check_reachable(settings)
    with translated(settings):
        name = mlflow.MlflowClient(tracking_uri=settings.tracking_uri).get_experiment(active_id).name
    return store_settings(settings.tracking_uri, name)


def make_state_dir(settings: StoreSettings) -> Path:
    """Make the folder for local state, which hides itself from git; raises StoreError where it cannot."""
    folder = settings.state_dir
    try:
        folder.mkdir(exist_ok=True, parents=STATE_DIR in os.environ)
        ignore = folder / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n")
    except OSError as error:
        what = f"cannot write to {folder.absolute()}: {error.strerror}"
        raise StoreError(what, "check the folder's permissions") from error
    return folder
