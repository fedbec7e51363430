"""Recovery after processes that ended early: their left-over records are delivered and their runs closed as KILLED.

The only code that writes for a process that has ended; commands call `recover` once at their start.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cvexp.errors import CvexpError, RunError, StoreError
from cvexp.events import RunEnded
from cvexp.settings import CHECKPOINTS, DEFAULT_EXPERIMENT, RUNS
from cvexp.tracking.address import address_of
from cvexp.tracking.checks import check_settings
from cvexp.tracking.deadline import Deadline
from cvexp.tracking.journal import JOURNAL, Journal, run_lock
from cvexp.tracking.local import all_folders, belongs, folder_of, is_ours, leftover_of, lock_if_free
from cvexp.tracking.mlflow_sink import MlflowSink
from cvexp.tracking.queries import search
from cvexp.tracking.sender import Sender
from cvexp.tracking.store import load_mlflow, open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cvexp.settings import StoreSettings
    from cvexp.tracking.local import Leftover

GONE = "the process is gone"
UNSTARTED_SECONDS = 60.0
"""A folder without a journal was left by a killed process when it is older than this."""

SYNC_SECONDS, CLOSING_SECONDS = 5.0, 2.0
"""How long a command waits for the two parts of its recovery; what is not done by then is left to a later one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncResult:
    """What became of the left-over records.

    Attributes:
        delivered: Records that were delivered, by run.
        left: Records that could not be, by run.
        damaged: What is wrong with journals that cannot be used, by the name of the run's folder.
        elsewhere: Runs with records for another store.
        trouble: Why records are left, in one line.
    """

    delivered: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    elsewhere: tuple[Leftover, ...] = ()
    trouble: str = ""


def sync(settings: StoreSettings, *, seconds: float, stall_seconds: float | None = None) -> SyncResult:
    """Deliver the left-over records of ended processes to this store; their open runs become KILLED.

    Each run goes to the experiment that its journal names.

    Args:
        settings: Which store.
        seconds: How long to wait for it while it makes no progress, in total.
        stall_seconds: See Deadline.
    """
    _remove_unstarted(settings)
    deadline = Deadline(seconds, stall_seconds=stall_seconds)
    result = SyncResult()
    elsewhere: list[Leftover] = []

    def deliver(journal: Journal) -> str:
        if belongs(journal, settings):
            return _deliver(journal, settings, deadline, result)
        if journal.unsent:
            elsewhere.append(leftover_of(journal, settings))
        return ""

    result = replace(result, trouble=_for_each(settings, deliver, result))
    return replace(result, elsewhere=tuple(elsewhere))


def recover(settings: StoreSettings) -> None:
    """The start-up step of commands that use the store: `sync`, and close the runs of dead processes in the store.

    It takes some seconds at the most, raises nothing, and can be repeated; what fails is left to a later command.
    """
    with contextlib.suppress(CvexpError, OSError):
        sync(settings, seconds=SYNC_SECONDS, stall_seconds=0)
    with contextlib.suppress(CvexpError, OSError):
        check_settings(settings, create=False)
        load_mlflow(settings)  # imports are not what the deadline is for
        closing = threading.Thread(target=_close_dead_runs, args=(settings,), name="cvexp-recovery", daemon=True)
        closing.start()
        closing.join(CLOSING_SECONDS)


def _close_dead_runs(settings: StoreSettings) -> None:
    """Set the status of runs to KILLED that the store calls RUNNING and whose process has certainly ended.

    A run with a folder here is left to `sync`, which knows by the run's lock.
    """
    with contextlib.suppress(Exception):  # a store that is read-only, or does not answer
        store = open_store(replace(settings, experiment=DEFAULT_EXPERIMENT), create=False)
        for run in search(store, where="attributes.status = 'RUNNING'", everywhere=True):
            with contextlib.suppress(RunError):  # its folder belongs to another user
                if run.status == "KILLED" and folder_of(settings, run.run_id) is None:
                    store.client.set_tag(run.run_id, "cvexp.end_reason", GONE)
                    store.client.set_terminated(run.run_id, "KILLED")


def send_to(target: StoreSettings, source: StoreSettings, *, seconds: float) -> SyncResult:
    """Deliver every run that waits in one folder to another store, whatever store it belongs to so far.

    Args:
        target: The store to deliver to. Its experiment is used for runs that name none.
        source: Whose folder for local state to look in.
        seconds: As for `sync`.
    """
    deadline = Deadline(seconds)
    result = SyncResult()
    address = address_of(target, state_dir=source.state_dir)

    def deliver(journal: Journal) -> str:
        if journal.unsent and journal.address != address:
            journal.restart({"store": address, "experiment": journal.experiment or target.experiment})
        return _deliver(journal, target, deadline, result)

    return replace(result, trouble=_for_each(source, deliver, result))


def _for_each(settings: StoreSettings, deliver: Callable[[Journal], str], result: SyncResult) -> str:
    """Call `deliver` with every journal here that no process writes, and note the damaged ones in `result`.

    Returns:
        The last text that `deliver` returned which was not empty.
    """
    trouble = ""
    for folder in all_folders(settings):
        if not is_ours(folder):
            result.damaged[folder.name] = f"{folder} belongs to another user, and nothing is taken from it"
            continue
        with lock_if_free(folder) as free:
            if not free:
                continue
            try:
                journal = Journal(folder)
                _mark_killed(journal)
                trouble = deliver(journal) or trouble
            except RunError as error:  # a damaged journal concerns its own run only
                result.damaged[folder.name] = error.what
    return trouble


def _mark_killed(journal: Journal) -> None:
    """Close a run whose process is gone; the caller holds the run's lock, so nobody writes it."""
    if journal.start and journal.status == "RUNNING":
        ends = len(journal.of_type(RunEnded))
        journal.append(RunEnded(status="KILLED", reason=GONE), key=f"end #{ends}", at=int(time.time() * 1000))


def _deliver(journal: Journal, settings: StoreSettings, deadline: Deadline, result: SyncResult) -> str:
    """Deliver one journal, note it in `result`, and return what went wrong, or an empty text."""
    if not journal.unsent:
        return ""
    settings = replace(settings, experiment=journal.experiment or settings.experiment)
    sender = Sender(journal, MlflowSink(settings, journal), deadline)
    sender.start()
    refusal = ""
    try:
        sender.drain(max_failures=2)
    except StoreError as error:
        refusal = "; ".join(error.lines())
    finally:
        sender.stop()
    run_id, folder = journal.run_id, journal.folder
    result.delivered[run_id] = sender.n_delivered
    if journal.unsent:
        result.left[run_id] = journal.unsent
        return refusal or sender.trouble or "the tracking store does not answer in time"
    if journal.status == "FINISHED" and not (folder / CHECKPOINTS).is_dir():
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.name != run_id:
        journal.move(folder.with_name(run_id))
    return ""


def _remove_unstarted(settings: StoreSettings) -> None:
    """Remove folders of runs whose process was killed before it wrote their first record."""
    runs = settings.state_dir / RUNS
    for folder in sorted(runs.iterdir()) if runs.is_dir() else ():
        with contextlib.suppress(OSError, RunError):
            if _is_unstarted(folder):
                with run_lock(folder, new=True):
                    if not (folder / JOURNAL).exists():
                        shutil.rmtree(folder)


def _is_unstarted(folder: Path) -> bool:
    found = folder.lstat()
    ours = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    old = time.time() - found.st_mtime > UNSTARTED_SECONDS
    return ours and old and folder.is_dir() and not folder.is_symlink() and not (folder / JOURNAL).exists()
