"""Import runs that others logged by hand, so that `compare` lists them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.jobs.foreign_runs import ForeignRun, read_runs

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.settings import StoreSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class ImportResult:
    """What was imported.

    Attributes:
        runs: All that were read, with their ids in the store; empty ids before they are written.
        n_known: How many of them the experiment had already.
        experiment: It.
        done: Whether they were written.
    """

    runs: tuple[tuple[str, ForeignRun], ...]
    n_known: int
    experiment: str
    done: bool


def run(path: Path, settings: StoreSettings, *, dry_run: bool = False) -> ImportResult:
    """Read runs (see jobs.foreign_runs), and write those that the experiment does not have yet.

    All are validated before the first is written. With `dry_run` nothing is, and no store is made.

    Raises:
        InputError: The files or the store cannot be used.
    """
    found = read_runs(path)
    from cvexp.tracking.checks import check_settings
    from cvexp.tracking.importing import known_imports, write_runs
    from cvexp.tracking.store import open_store

    file = settings.sqlite_file
    if dry_run and file is not None and not file.exists():
        return _result([""] * len(found), found, n_known=0, settings=settings, done=False)
    check_settings(settings, create=not dry_run)
    store = open_store(settings, create=not dry_run)
    known = known_imports(store)
    n_known = sum(known.get(one.digest, ("", False))[1] for one in found)
    ids = [known.get(one.digest, ("", False))[0] for one in found] if dry_run else write_runs(store, found)
    return _result(ids, found, n_known=n_known, settings=settings, done=not dry_run)


def _result(
    ids: list[str], found: list[ForeignRun], *, n_known: int, settings: StoreSettings, done: bool
) -> ImportResult:
    runs = tuple(zip(ids, found, strict=True))
    return ImportResult(runs=runs, n_known=n_known, experiment=settings.experiment, done=done)
