"""Runs in an `mlruns` folder of MLflow's former file store, which MLflow 3 does not open any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp.errors import ConfigError
from cvexp.jobs.run_files import text_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

META, MOST_META, MOST_VALUE, MOST_HISTORY = "meta.yaml", 100_000, 10_000, 20_000_000
_STATUSES = {1: "KILLED", 2: "KILLED", 3: "FINISHED", 4: "FAILED", 5: "KILLED"}
"""MLflow's numbers; a run that was RUNNING or SCHEDULED in a folder that was given away has ended."""


def is_mlruns(folder: Path) -> bool:
    """Whether a folder has runs of the file store, of one experiment or of several."""
    return any(True for _ in _run_folders(folder))


def _run_folders(folder: Path) -> Iterator[Path]:
    for pattern in (f"*/{META}", f"*/*/{META}"):
        for meta in sorted(folder.glob(pattern)):
            if (meta.parent / "metrics").is_dir() and not meta.parent.is_symlink():
                yield meta.parent


def read_mlruns(folder: Path) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Each run that is not deleted: its `meta.yaml`, its id, and its columns as for a CSV file.

    Raises:
        ConfigError: A file cannot be read.
    """
    for run in _run_folders(folder):
        meta = _meta(run / META)
        if meta.get("lifecycle_stage", "active") != "active":
            continue
        record: dict[str, Any] = {"status": _STATUSES.get(meta.get("status", 3), "FINISHED")}
        name = meta.get("run_name") or _value(run / "tags" / "mlflow.runName")
        record |= {"name": str(name)} if name else {}
        record |= {"started": str(meta["start_time"])} if meta.get("start_time") else {}
        for file in _files(run / "params"):
            if value := _value(file):
                record[f"params.{_key(file, run / 'params')}"] = value
        for file in _files(run / "metrics"):
            record[f"metrics.{_key(file, run / 'metrics')}"] = _last(file)
        yield run / META, f"run {run.name}", record


def _meta(file: Path) -> dict[str, Any]:
    import yaml

    try:
        found = yaml.safe_load(text_of(file, most=MOST_META))
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{file} is not YAML: {str(error).splitlines()[0]}", "leave that run out") from error
    if not isinstance(found, dict):
        raise ConfigError(f"{file} describes no run", "leave that run out")
    return found


def _files(folder: Path) -> list[Path]:
    return sorted(one for one in folder.rglob("*") if one.is_file() and not one.is_symlink())


def _key(file: Path, folder: Path) -> str:
    return file.relative_to(folder).as_posix()


def _value(file: Path) -> str:
    return text_of(file, most=MOST_VALUE).strip() if file.is_file() and not file.is_symlink() else ""


def _last(file: Path) -> str:
    """The last value of a metric, whose lines are timestamp, value and step; empty where there is none."""
    lines = text_of(file, most=MOST_HISTORY).split("\n")
    last = next((line.split() for line in reversed(lines) if line.strip()), [])
    return last[1] if len(last) > 1 else ""
