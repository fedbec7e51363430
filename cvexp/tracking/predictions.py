"""The per-image records of runs, read back from their artifacts."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cvexp.errors import InputError
from cvexp.image_records import read_records
from cvexp.tracking.artifacts import artifact_folder, local_path, located

if TYPE_CHECKING:
    from cvexp.image_records import ImageRecords
    from cvexp.runs import RunSummary
    from cvexp.tracking.store import Store

FOLDER = "records"


def stored_records(store: Store, run: RunSummary, split: Literal["val", "test"]) -> tuple[ImageRecords | None, str]:
    """What a run's model said of the images of a split, or None and why there is nothing to read, in words."""
    run = located(store, run)
    try:
        if (here := local_path(run.artifacts_uri)) is not None:
            file = here / FOLDER / f"{split}.parquet"
            return (read_records(file), "") if file.is_file() else (None, "")
        with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
            file = artifact_folder(store, run, FOLDER, Path(scratch)) / f"{split}.parquet"
            return (read_records(file), "") if file.is_file() else (None, "")
    except InputError as error:
        missing = error.what.startswith(f"run {run.name} has no {FOLDER} ")
        return None, "" if missing else error.what
