"""Runs that have a folder here, running or left behind, and which store each belongs to. No journal is written."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cvexp.errors import CvexpError, RunError
from cvexp.events import MetricsLogged, ParamsLogged, RunEnded
from cvexp.redaction import without_credentials
from cvexp.runs import RunSummary
from cvexp.settings import CHECKPOINTS, RUNS, sqlite_uri
from cvexp.text import shown
from cvexp.tracking.journal import JOURNAL, Journal, run_lock
from cvexp.tracking.liveness import is_gone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from cvexp.settings import StoreSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Leftover:
    """A run that has a folder here.

    Attributes:
        run_id: MLflow's id, or the one the run has until the store answers.
        status: RUNNING while a process writes it, INTERRUPTED where one ended without closing it, or the journal's.
        waiting: Records that the store does not have.
        resumable: Whether there is a checkpoint.
        tracking_uri: The store it belongs to, without credentials; empty where the journal does not say.
        problem: Why nothing can be done with it, or empty.
    """

    run_id: str
    name: str = ""
    status: str = ""
    waiting: int = 0
    resumable: bool = False
    tracking_uri: str = ""
    experiment: str = ""
    problem: str = ""


def folders(settings: StoreSettings) -> list[Path]:
    """The folders of runs under way or left behind, those of other users left out."""
    return [folder for folder in all_folders(settings) if is_ours(folder)]


def all_folders(settings: StoreSettings) -> list[Path]:
    """The folders of runs, those of other users too."""
    runs = settings.state_dir / RUNS
    return sorted(folder for folder in runs.iterdir() if (folder / JOURNAL).exists()) if runs.is_dir() else []


def is_ours(folder: Path) -> bool:
    """Whether the folder, its journal and the folders for local state are this user's, and the first two no links."""
    paths = (folder / JOURNAL, folder, folder.parent, folder.parent.parent)
    try:
        if any(path.is_symlink() for path in paths[:2]):
            return False
        return not hasattr(os, "geteuid") or all(path.stat().st_uid == os.geteuid() for path in paths)
    except OSError:
        return False


def folder_of(settings: StoreSettings, run_id: str) -> Path | None:
    """The local folder of a run, if it is still there; raises RunError where it belongs to another user."""
    for folder in all_folders(settings):
        found = folder.name == run_id
        with contextlib.suppress(RunError):  # a damaged journal concerns its own run only
            found = found or Journal(folder).run_id == run_id
        if found:
            if not is_ours(folder):
                raise RunError(f"{folder} belongs to another user", "nothing is taken from it; ask that user")
            return folder
    return None


def address_of(settings: StoreSettings, *, state_dir: Path) -> str:
    """The store's address: equal for two settings of one store, and free of credentials.

    A database beside `state_dir`, where the address is written, is named relative to it: both may be moved together.
    """
    file = settings.sqlite_file
    if file is not None:
        file, beside = file.absolute(), state_dir.absolute().parent
        return f"sqlite:///{file.relative_to(beside) if file.parent == beside else file}"
    plain = without_credentials(settings.tracking_uri)
    parts = urlsplit(plain)
    if not parts.hostname:
        return plain
    scheme = parts.scheme.lower().partition("+")[0]
    try:
        port = parts.port or {"http": 80, "https": 443}.get(scheme)
    except ValueError:
        return plain
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{scheme}://{host}{f':{port}' if port else ''}{parts.path.rstrip('/')}"


def uri_of(address: str, *, state_dir: Path) -> str:
    """What to type as `--tracking-uri` for an address from `address_of`."""
    kind, _, path = address.partition(":///")
    return sqlite_uri(state_dir.parent / path) if kind == "sqlite" else address


def belongs(journal: Journal, settings: StoreSettings) -> bool:
    """Whether a journal is to be delivered to this store."""
    return journal.address == address_of(settings, state_dir=settings.state_dir)


def leftovers(settings: StoreSettings) -> list[Leftover]:
    """Every run that has a folder here, whatever store it belongs to, damaged ones too."""
    return [_leftover_in(folder, settings) for folder in all_folders(settings)]


def _leftover_in(folder: Path, settings: StoreSettings) -> Leftover:
    if not is_ours(folder):
        return Leftover(run_id=folder.name, problem=f"{folder} belongs to another user")
    try:
        return leftover_of(Journal(folder), settings)
    except RunError as error:
        return Leftover(run_id=folder.name, problem=error.what)


def leftover_of(journal: Journal, settings: StoreSettings) -> Leftover:
    """What is known of the run of a journal; the run's lock tells whether a process writes it."""
    first, status, address = journal.start, journal.status, journal.address
    if status == "RUNNING":
        with lock_if_free(journal.folder) as free:
            status = "INTERRUPTED" if free else "RUNNING"
    return Leftover(
        run_id=journal.run_id,
        name=journal.name or first.model,
        status=status,
        waiting=journal.unsent,
        resumable=any((journal.folder / CHECKPOINTS).glob("*.pt")),
        tracking_uri=uri_of(address, state_dir=settings.state_dir) if address else "",
        experiment=journal.experiment,
    )


def discard(settings: StoreSettings, selector: str) -> Leftover:
    """Remove the folder of one run, given by its name or the beginning of its id, with its checkpoints and records.

    Raises RunError where no run fits, or several do, or a process is writing it.
    """
    fitting = []
    for folder in folders(settings):
        leftover = _leftover_in(folder, settings)
        ids = (folder.name, leftover.run_id)
        if selector and (selector == leftover.name or any(one.startswith(selector) for one in ids)):
            fitting.append((folder, leftover))
    if len(fitting) != 1:
        what = f"{f'{len(fitting)} runs fit' if fitting else 'no run fits'} {shown(selector)}"
        listing = settings.command("sync", "--list")
        raise RunError(f"{what} in {settings.state_dir / RUNS}", f"see which there are: {listing}")
    folder, leftover = fitting[0]
    with run_lock(folder):
        shutil.rmtree(folder)
    return leftover


def local_runs(
    settings: StoreSettings, *, only_unknown: bool = False, experiment: str | None = None
) -> list[RunSummary]:
    """This store's runs that have a folder here, latest first.

    With `only_unknown` they are those that the store has not confirmed yet; with `experiment` those of that one.
    """
    found = []
    for folder in folders(settings):
        with contextlib.suppress(CvexpError, TypeError, ValueError, OverflowError):  # it may hold anything
            journal = Journal(folder)
            known = only_unknown and "run_id" in journal.facts
            if belongs(journal, settings) and not known and experiment in (None, journal.experiment):
                found.append(_summary(journal))
    return sorted(found, key=lambda run: run.started_at, reverse=True)


def _summary(journal: Journal) -> RunSummary:
    return RunSummary(
        run_id=journal.run_id,
        name=journal.name or journal.start.model,
        status=journal.status,
        experiment_id="",
        artifacts_uri=str(journal.folder.absolute()),
        started_at=datetime.fromtimestamp(journal.records[0].at / 1000, tz=UTC),
        params=dict(pair for event in journal.of_type(ParamsLogged) for pair in event.values.items()),
        metrics=dict(pair for event in journal.of_type(MetricsLogged) for pair in event.values.items())
        | dict(pair for event in journal.of_type(RunEnded) for pair in event.metrics.items()),
        tags=journal.tags,
    )


def status_of(folder: Path) -> str:
    """The status of the run in a folder: the journal's, or KILLED where its process has certainly ended."""
    journal = Journal(folder)
    return "KILLED" if journal.status == "RUNNING" and is_gone(journal.tags) else journal.status


@contextlib.contextmanager
def lock_if_free(folder: Path) -> Iterator[bool]:
    """Lock the run in `folder` for the block, if no other process has; yields whether this one has it locked."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(run_lock(folder))
        except (RunError, OSError):
            yield False
            return
        yield True
