"""Write to the store's model registry: a run's logged model as a version of a named model, and aliases that move."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, RunError, StoreError
from cvexp.redaction import without_credentials
from cvexp.text import shown
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.model import LOGGED_NAME
from cvexp.tracking.registry import (
    FORMAT,
    MAX_TAG_CHARACTERS,
    MAX_VERSIONS,
    WEIGHTS,
    ModelVersion,
    checked,
    registered,
    version_of,
)
from cvexp.tracking.store import make_state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

LONGEST_NAME, LONGEST_ALIAS = 250, 250
LOCK_SECONDS = 60
_ALIAS = re.compile(r"[\w-]+")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoggedModel:
    """A model that a run logged: MLflow's id, and where its files are."""

    model_id: str
    location: str


def check_name(name: str) -> None:
    """Raise ConfigError where a model cannot be registered under `name`, or not be selected by it then."""
    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise ConfigError(
            f"--name {shown(name)}: a name has 1 to {LONGEST_NAME} characters, and no control characters",
            "for example: --name digits",
        )
    if name != name.strip() or name.startswith((".", "-")) or any(c in name for c in "/:@\\\"'`"):
        raise ConfigError(
            f"--name {shown(name)}: a name has no / : @ \\ or quotes, and begins with none of . - and no space",
            "for example: --name digits",
        )


def check_alias(alias: str) -> None:
    """Raise ConfigError where MLflow has no such alias."""
    if not (_ALIAS.fullmatch(alias) and len(alias) <= LONGEST_ALIAS):
        raise ConfigError(
            f"--alias {shown(alias)}: an alias has letters, digits, _ and -", "for example: --alias champion"
        )
    if _RESERVED.fullmatch(alias):
        raise ConfigError(f"--alias {shown(alias)}: MLflow keeps it for versions", "for example: --alias champion")


def logged_model(store: Store, run: RunSummary) -> LoggedModel:
    """The newest complete model that a run logged.

    Raises:
        RunError: It has none.
    """
    with translated(store.settings):
        own = f"source_run_id = '{run.run_id}'"
        found = store.client.search_logged_models([run.experiment_id], filter_string=own, max_results=MAX_VERSIONS)
        ready = [one for one in found if one.status == "READY" and one.name == LOGGED_NAME]
    if not ready:
        raise RunError(
            f"run {run.name} has no logged model (status {run.status})",
            f"finish it: {store.settings.command('train', '--resume', run.run_id)}",
        )
    newest = max(ready, key=lambda one: one.creation_timestamp)
    return LoggedModel(model_id=str(newest.model_id), location=str(newest.artifact_location))


def add_version(
    store: Store, run: RunSummary, name: str, *, model: LoggedModel, tags: Mapping[str, str]
) -> tuple[ModelVersion, bool]:
    """The version of `name` that is this run with these weights, and whether it was made now.

    Its tags are written by the call that makes it, so that no version is without them. One that exists keeps its own.

    Args:
        store: Whose registry to write to.
        run: The run behind the version.
        name: See `check_name`.
        model: The one that the run logged.
        tags: With `WEIGHTS` and `FORMAT`.

    Raises:
        StoreError: The registry cannot be written.
    """
    with _one_at_a_time(store), translated(store.settings):
        same = [one for one in _of_run(store, run) if one.name == name]
        same = [one for one in same if all(one.tags.get(key) == tags[key] for key in (WEIGHTS, FORMAT))]
        if same:
            newest = max(one.version for one in same)
            return version_of(store, name, newest) or same[0], False
        _make_name(store, name)
        made = store.client.create_model_version(
            name,
            # Not models:/ID, which MLflow looks up in its active store instead of this one.
            source=model.location,
            run_id=run.run_id,
            tags={key: without_credentials(value)[:MAX_TAG_CHARACTERS] for key, value in tags.items() if value},
            description=run.tags.get("mlflow.note.content", "")[:MAX_TAG_CHARACTERS],
            model_id=model.model_id,
            await_creation_for=None,
        )
        return checked(made), True


def move_alias(store: Store, version: ModelVersion, alias: str) -> None:
    """Let the alias mean this version; where several processes move it at once, the last one wins."""
    with translated(store.settings):
        store.client.set_registered_model_alias(version.name, alias, str(version.version))


def _of_run(store: Store, run: RunSummary) -> list[ModelVersion]:
    found = store.client.search_model_versions(f"run_id = '{run.run_id}'", max_results=MAX_VERSIONS)
    return [checked(one) for one in found]


def _make_name(store: Store, name: str) -> None:
    from mlflow.exceptions import MlflowException

    try:
        store.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
        if registered(store, name) is None:
            raise RunError(f"{shown(name)} is a prompt in this registry", "choose another --name") from error


@contextlib.contextmanager
def _one_at_a_time(store: Store) -> Iterator[None]:
    """Within the block no other process of this machine registers in a local store, so that none registers twice."""
    if store.settings.sqlite_file is None:
        yield
        return
    from filelock import FileLock, Timeout

    lock = FileLock(make_state_dir(store.settings) / "registry.lock", timeout=LOCK_SECONDS)
    try:
        with lock:
            yield
    except Timeout as error:
        raise StoreError(f"another process has been registering for {LOCK_SECONDS} s", "try again") from error
