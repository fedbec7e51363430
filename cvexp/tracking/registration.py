"""Write to the store's model registry: a run's logged model as a version of a named model, and aliases that move."""

from __future__ import annotations

import contextlib
import re
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ConfigError, RunError, StoreError
from cvexp.files import sha256_of
from cvexp.redaction import without_credentials
from cvexp.runs import UNLOGGED
from cvexp.text import shown
from cvexp.tracking.artifacts import local_path
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.model import LOGGED_NAME, write_model
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
from cvexp.tracking.store import artifact_root, make_state_dir

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

LONGEST_NAME, LONGEST_ALIAS = 250, 250
LOCK_SECONDS = 60
PROGRAM_NAME = "model-onnx"
"""Of the logged model that `log_program` adds to a run."""

LOGGED_WEIGHTS = "data/weights/state_dict.pt"
"""In the folder of a logged model, unless it holds an exported program; see `tracking.model.write_model`."""

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
        RunError: It has none, or, in a local store, one that is not there any more or holds other weights than the run.
    """
    with translated(store.settings):
        own = f"source_run_id = '{run.run_id}'"
        found = store.client.search_logged_models([run.experiment_id], filter_string=own, max_results=MAX_VERSIONS)
        ready = [one for one in found if one.status == "READY" and one.name == LOGGED_NAME]
    if not ready:
        why = run.tags.get(UNLOGGED, "it was not delivered")
        raise RunError(f"run {run.name} has no logged model: {why}", "register another run, or train it again")
    newest = max(ready, key=lambda one: one.creation_timestamp)
    model = LoggedModel(model_id=str(newest.model_id), location=str(newest.artifact_location))
    file = store.settings.sqlite_file
    return model if file is None else _verified(model, run, artifact_root(file))


def _verified(model: LoggedModel, run: RunSummary, root: Path) -> LoggedModel:
    """The model with the folder where it is: under `root`, where the recorded one does not exist."""
    folder = local_path(model.location)
    if folder is not None and not folder.is_dir() and model.model_id.replace("-", "").isalnum():
        folder = root / run.experiment_id / "models" / model.model_id / "artifacts"
        model = replace(model, location=str(folder))
    if folder is None or not folder.is_dir():
        raise RunError(f"the logged model of run {run.name} is not in {model.location}", "was the folder moved?")
    weights = folder / LOGGED_WEIGHTS
    if weights.is_file() and sha256_of(weights) != run.tags.get(WEIGHTS):
        raise RunError(
            f"the logged model of run {run.name} does not hold the run's weights: {weights} was altered",
            "train it again, and register that run",
        )
    return model


def log_program(
    store: Store, run: RunSummary, folder: Path, *, image_shape: Sequence[int], n_classes: int
) -> LoggedModel:
    """Log `model.onnx` and `model.json` in `folder` as a further model of a run; see `tracking.model.write_model`.

    Raises:
        StoreError: The store cannot be written.
    """
    with translated(store.settings), tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        made = store.client.create_logged_model(
            run.experiment_id, name=PROGRAM_NAME, source_run_id=run.run_id, model_type="image classifier"
        )
        status = "FAILED"
        try:
            written = Path(scratch) / "model"
            about = {"model_id": made.model_id, "run_id": run.run_id}
            write_model(written, folder, image_shape=image_shape, n_classes=n_classes, **about)
            store.client.log_model_artifacts(made.model_id, str(written))
            status = "READY"
        finally:
            store.client.finalize_logged_model(made.model_id, status)
    return LoggedModel(model_id=str(made.model_id), location=str(made.artifact_location))


def registered_before(store: Store, run: RunSummary, name: str, tags: Mapping[str, str]) -> ModelVersion | None:
    """The version of `name` that is this run with the `WEIGHTS` and `FORMAT` in `tags`; None where there is none."""
    with translated(store.settings):
        found = store.client.search_model_versions(f"run_id = '{run.run_id}'", max_results=MAX_VERSIONS)
        same = [
            one
            for one in map(checked, found)
            if one.name == name and all(one.tags.get(key) == tags[key] for key in (WEIGHTS, FORMAT))
        ]
        return version_of(store, name, max(one.version for one in same)) if same else None


def add_version(
    store: Store, run: RunSummary, name: str, *, model: LoggedModel, tags: Mapping[str, str]
) -> tuple[ModelVersion, bool]:
    """The version of `name` that is this run with these weights, and whether it was made now.

    Its tags are written by the call that makes it, so that no version is without them. One that exists keeps its own.

    Args:
        store: Whose registry to write to.
        run: The run behind the version.
        name: See `check_name`.
        model: One that the run logged.
        tags: With `WEIGHTS` and `FORMAT`.

    Raises:
        StoreError: The registry cannot be written.
    """
    with _one_at_a_time(store), translated(store.settings):
        if (known := registered_before(store, run, name, tags)) is not None:
            return known, False
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
