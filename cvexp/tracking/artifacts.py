"""Where the artifacts of a local store lie: in `mlruns` beside its database, also after the folder was moved."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlparse
from urllib.request import url2pathname

from cvexp.tracking.delivery import log_file
from cvexp.tracking.store import artifact_root, translated

if TYPE_CHECKING:
    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store


def local_path(uri: str) -> Path | None:
    """The path of a local artifact location; None for one that only the store can reach.

    MLflow decodes percent-encoded characters in both, a path and a `file:` URI.
    """
    if uri.startswith("file:"):
        return Path(url2pathname(urlparse(uri).path))
    return None if "://" in uri or uri.startswith("mlflow-artifacts:") else Path(url2pathname(uri))


def located(store: Store | None, run: RunSummary) -> RunSummary:
    """The run with its artifacts where they are: beside the store, where the recorded folder does not exist.

    MLflow records absolute folders, which a store that was moved takes along as they were.
    """
    recorded = local_path(run.artifacts_uri)
    file = store.settings.sqlite_file if store is not None else None
    if recorded is None or file is None or recorded.is_dir():
        return run
    if not (run.experiment_id.isalnum() and run.run_id.isalnum()):  # whoever writes to the store chooses both
        return run
    beside = artifact_root(file) / run.experiment_id / run.run_id / "artifacts"
    return replace(run, artifacts_uri=beside.as_uri()) if beside.is_dir() else run


def add_file(store: Store, run: RunSummary, file: Path, *, name: str) -> None:
    """Store a file among the artifacts of a run that has ended, as `name`.

    Raises:
        StoreError: It cannot be stored.
    """
    folder = local_path(run.artifacts_uri)
    if folder is None or not folder.is_dir():
        log_file(store, run.run_id, file, name=name)
        return
    with translated(store.settings):
        shutil.copy(file, folder / name)
