"""Remove runs: to MLflow's trash and back, or for good with their artifacts, logged models and local folders.

`mlflow gc` is not used: given `--run-ids`, it also removes every logged model and every experiment in the trash, and it
leaves the logged models of the runs that it removes. What it calls is called here for the chosen runs alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from cvexp.errors import StoreError
from cvexp.runs import PROTECTED, RunSummary
from cvexp.tracking.artifacts import local_path, located
from cvexp.tracking.journal import run_lock
from cvexp.tracking.local import folder_of
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.queries import PAGE
from cvexp.tracking.store import artifact_root

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cvexp.tracking.store import Store

ARTIFACTS, MOST_MODELS = "artifacts", 100


class Place(NamedTuple):
    """Where artifacts are: a folder here, or a location that only MLflow reaches; neither where they are gone."""

    folder: Path | None = None
    remote: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """A run with all that belongs to it.

    Attributes:
        in_trash: Whether it is in MLflow's trash already.
        models: Its logged models, by id.
        folder: Its local folder, with checkpoints and journal.
        artifacts: Those of the run itself.
        n_bytes: What the folders take; None where that is not known.
        versions: Registered versions that are this run.
    """

    run: RunSummary
    in_trash: bool
    models: Mapping[str, Place] = field(default_factory=dict)
    folder: Path | None = None
    artifacts: Place = field(default_factory=Place)
    n_bytes: int | None = None
    versions: tuple[str, ...] = ()

    @property
    def refusal(self) -> str:
        """Why it is not removed, in words; empty where it may be."""
        if PROTECTED in self.run.tags:
            return "it is protected (see --unprotect)"
        if self.versions:
            return f"it is registered as {', '.join(self.versions[:3])}; delete the version in MLflow first"
        if self.run.status in ("RUNNING", "SCHEDULED"):
            return f"it is under way (status {self.run.status})"
        return ""


def stored(store: Store, runs: Sequence[tuple[RunSummary, bool]]) -> list[Stored]:
    """Runs, each with whether it is in the trash, and what belongs to them."""
    with translated(store.settings):
        versions = _versions(store)
        return [_stored(store, run, in_trash=in_trash, versions=versions) for run, in_trash in runs]


def _stored(store: Store, run: RunSummary, *, in_trash: bool, versions: Sequence[Any]) -> Stored:
    models = _models(store, run)
    own = {run.run_id, *models}
    named = [
        f"{one.name}/{one.version}"
        for one in versions
        if one.run_id == run.run_id or own & set(str(one.source or "").replace(":", "/").split("/"))
    ]
    folder = folder_of(store.settings, run.run_id)
    artifacts = _place(located(store, run).artifacts_uri, run.run_id)
    known = [one for one in (folder, artifacts.folder, *(place.folder for place in models.values())) if one]
    return Stored(
        run=run,
        in_trash=in_trash,
        models=models,
        folder=folder,
        artifacts=artifacts,
        n_bytes=sum(map(_bytes, known)) if store.settings.sqlite_file is not None else None,
        versions=tuple(named),
    )


def _versions(store: Store) -> list[Any]:
    """Every version in the model registry."""
    from mlflow.utils import get_results_from_paginated_fn

    def page(size: int, token: str | None) -> Any:
        return store.client.search_model_versions(max_results=size, page_token=token)

    return list(get_results_from_paginated_fn(page, PAGE))


def _models(store: Store, run: RunSummary) -> dict[str, Place]:
    own = f"source_run_id = '{run.run_id}'"
    found = store.client.search_logged_models([run.experiment_id], filter_string=own, max_results=MOST_MODELS)
    file, models = store.settings.sqlite_file, {}
    for one in found:
        model_id = str(one.model_id)
        models[model_id] = _place(str(one.artifact_location), model_id)
        if models[model_id] == Place() and file is not None:  # the store was moved
            beside = artifact_root(file) / run.experiment_id / "models" / model_id / ARTIFACTS
            models[model_id] = _place(beside.as_uri(), model_id)
    return models


def _place(uri: str, name: str) -> Place:
    """What a location means that should end with `<name>/artifacts`; of any other one here, nothing is removed.

    A store may say anything, and nothing but a folder of that name is ever removed.
    """
    path = local_path(uri)
    if path is None:
        return Place(remote=uri)
    folder = path.parent
    sound = path.parts[-2:] == (name, ARTIFACTS) and ".." not in path.parts and name.replace("-", "").isalnum()
    return Place(folder=folder) if sound and folder.is_dir() and not folder.is_symlink() else Place()


def _bytes(folder: Path) -> int:
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(parent, name).lstat().st_size
    return total


def set_protection(store: Store, run: RunSummary, *, protect: bool) -> None:
    """Give a run the tag that `Stored.refusal` looks for, or take it away."""
    with translated(store.settings):
        if protect:
            store.client.set_tag(run.run_id, PROTECTED, "yes")
        elif PROTECTED in run.tags:
            store.client.delete_tag(run.run_id, PROTECTED)


def put_in_trash(store: Store, one: Stored) -> None:
    """Let MLflow's pages and queries leave the run out; nothing of it is lost."""
    with _unwritten(one), translated(store.settings):
        if not one.in_trash:
            store.client.delete_run(one.run.run_id)


def check_purge(store: Store) -> None:
    """Raise StoreError where runs cannot be removed for good from here."""
    if store.settings.tracking_uri.startswith(("http", "databricks")):
        raise StoreError(
            "a tracking server keeps its runs: it can only put them into its trash (leave --purge out)",
            "where its database is, `mlflow gc` empties the trash: runs, logged models and experiments, all of them",
        )


def purger(store: Store) -> Callable[[Store, Stored], None]:
    """`purge` on MLflow's own store, opened once; raises StoreError where that cannot be."""
    check_purge(store)
    with translated(store.settings):
        return partial(purge, backend=_backend(store))


def purge(store: Store, one: Stored, *, backend: Any) -> None:
    """Remove a run for good, its row last: one that is killed meanwhile is found in the trash, and can go on.

    The local folder goes before the row, since a journal would create a lost run again.

    Raises:
        RunError: A process is writing the run.
        StoreError: Files cannot be removed, or the store cannot be written.
    """
    put_in_trash(store, one)
    with translated(store.settings):
        for model_id, place in one.models.items():
            _remove_all(place)
            backend._hard_delete_logged_model(model_id)  # noqa: SLF001 - as `mlflow gc`; there is no public way
        _remove_all(one.artifacts)
        if one.folder is not None:
            with _unwritten(one):
                _remove(one.folder)
        _forget_links(backend, one.run.run_id)
        backend._hard_delete_run(one.run.run_id)  # noqa: SLF001 - likewise


def _backend(store: Store) -> Any:
    """MLflow's own store on the database."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    file = store.settings.sqlite_file
    return SqlAlchemyStore(store.settings.tracking_uri, "./mlruns" if file is None else artifact_root(file).as_uri())


def _forget_links(backend: Any, run_id: str) -> None:
    """Remove the rows that link the run with its datasets and models, which MLflow leaves."""
    from mlflow.store.tracking.dbmodels.models import SqlInput
    from sqlalchemy import or_

    ours = or_(SqlInput.source_id == run_id, SqlInput.destination_id == run_id)
    with backend.ManagedSessionMaker(read_only=False) as session:
        session.query(SqlInput).filter(ours).delete(synchronize_session=False)


def _remove_all(place: Place) -> None:
    if place.remote:
        from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

        get_artifact_repository(place.remote).delete_artifacts()
    _remove(place.folder)


def _remove(folder: Path | None) -> None:
    if folder is None or not folder.is_dir():
        return
    try:
        shutil.rmtree(folder)
    except OSError as error:
        what = f"{error.filename or folder} cannot be removed: {error.strerror}"
        raise StoreError(what, "check its permissions, then type the same again") from error


@contextlib.contextmanager
def _unwritten(one: Stored) -> Iterator[None]:
    """Within the block no process writes the run; RunError where one does."""
    if one.folder is None or not one.folder.is_dir():
        yield
        return
    with run_lock(one.folder):
        yield
