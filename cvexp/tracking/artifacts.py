"""The artifacts of runs: where a local store has them, also after it was moved; reading one folder, adding one file."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from cvexp.errors import RunError, StoreError
from cvexp.redaction import without_credentials
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.store import artifact_root

if TYPE_CHECKING:
    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

MAX_DOWNLOAD_BYTES = 2**32


def local_path(uri: str) -> Path | None:
    """The path of a local artifact location, percent-decoded as by MLflow; None for one that only the store reaches."""
    if uri.startswith("file:"):
        return Path(url2pathname(urlparse(uri).path))
    return None if "://" in uri or uri.startswith("mlflow-artifacts:") else Path(url2pathname(uri))


def located(store: Store | None, run: RunSummary) -> RunSummary:
    """The run with its artifacts where they are: beside the store, where the recorded folder does not exist.

    MLflow records absolute folders, which a store that was moved takes along as they were.
    """
    recorded = local_path(run.artifacts_uri)
    file = store.settings.sqlite_file if store is not None else None
    untrusted = not (run.experiment_id.isalnum() and run.run_id.isalnum())  # whoever writes to the store chooses both
    if recorded is None or file is None or recorded.is_dir() or untrusted:
        return run
    beside = artifact_root(file) / run.experiment_id / run.run_id / "artifacts"
    return replace(run, artifacts_uri=beside.as_uri()) if beside.is_dir() else run


def artifact_folder(store: Store | None, run: RunSummary, folder: str, target: Path) -> Path:
    """One folder of a run's artifacts on this machine: where it is, or downloaded into the empty folder `target`.

    Raises:
        RunError: The run has no such artifacts. One that only its journal knows has no `store` to ask.
    """
    missing = RunError(
        f"run {run.name} has no {folder} among its artifacts (status {run.status})",
        f"looked in {run.artifacts_uri}; was the folder moved, or did the run end early?",
    )
    if (here := local_path(run.artifacts_uri)) is not None:
        if not (here / folder).is_dir():
            raise missing
        return here / folder
    if store is None:
        raise missing
    from mlflow.exceptions import MlflowException

    with translated(store.settings):
        listed = store.client.list_artifacts(run.run_id, folder)
        if not listed:
            raise missing
        if sum(file.file_size or 0 for file in listed) > MAX_DOWNLOAD_BYTES:
            raise RunError(
                f"{folder} of run {run.name} is larger than {MAX_DOWNLOAD_BYTES:,} bytes",
                "fetch it yourself, and see whether it is what you expect: mlflow artifacts download",
            )
        try:
            return Path(store.client.download_artifacts(run.run_id, folder, str(target)))
        except MlflowException as error:
            reason = without_credentials(str(error).splitlines()[0])[:160]
            raise StoreError(f"cannot fetch {folder} of run {run.name}: {reason}", "try again") from error


def add_file(store: Store, run: RunSummary, file: Path, *, name: str) -> None:
    """Store a file among the artifacts of a run that has ended, as `name`, which may be in a folder.

    Raises:
        StoreError: It cannot be stored.
    """
    artifacts = local_path(run.artifacts_uri)
    inner, _, base = name.rpartition("/")
    with translated(store.settings):
        if artifacts is not None and artifacts.is_dir():
            target = artifacts / name
            if target.is_symlink() or (inner and target.parent.is_symlink()):
                raise StoreError(f"{target} is a symbolic link, and is not written through", "remove the link")
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
            return
        with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
            store.client.log_artifact(run.run_id, str(shutil.copy(file, Path(scratch) / base)), inner or None)
