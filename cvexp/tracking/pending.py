"""Deliver what the journals of ended processes still hold, and say in the store that their runs ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cvexp.errors import CvexpError, RunError, StoreError
from cvexp.settings import CHECKPOINTS, RUNS
from cvexp.tracking.address import address_of
from cvexp.tracking.delivery import Delivery
from cvexp.tracking.journal import JOURNAL, Journal, held
from cvexp.tracking.liveness import is_gone
from cvexp.tracking.local import all_folders, belongs, folder_of, is_ours, leftover_of, lock_if_free
from cvexp.tracking.sender import Patience, Sender

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.tracking.local import Leftover
    from cvexp.tracking.store import Store

GONE = "the process is gone"
UNSTARTED_SECONDS = 60.0
"""A folder without a journal is left by a killed process when it is older than this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncResult:
    """What became of the journals that waited.

    Attributes:
        delivered: Records that the store was told, by run.
        left: Records that it still was not, by run.
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
    """Deliver what the journals of ended processes hold for this store; runs that ended without a word become KILLED.

    Each run goes to the experiment that its journal names.

    Args:
        settings: Which store.
        seconds: How long to wait for it while it takes nothing, all in all.
        stall_seconds: See Patience.
    """
    _remove_unstarted(settings)
    patience = Patience(seconds, stall_seconds=stall_seconds)
    result = SyncResult()
    elsewhere: list[Leftover] = []

    def deliver(journal: Journal) -> str:
        if belongs(journal, settings):
            return _deliver(journal, settings, patience, result)
        if journal.unsent:
            elsewhere.append(leftover_of(journal, settings))
        return ""

    result = replace(result, trouble=_for_each(settings, deliver, result))
    return replace(result, elsewhere=tuple(elsewhere))


def sync_quietly(settings: StoreSettings, *, seconds: float = 5.0) -> None:
    """`sync` where something else is the user's business; what does not go within `seconds` goes later."""
    with contextlib.suppress(CvexpError, OSError):
        sync(settings, seconds=seconds, stall_seconds=0)


def send_to(target: StoreSettings, source: StoreSettings, *, seconds: float) -> SyncResult:
    """Deliver every run that waits in one folder to another store, whatever store it belongs to so far.

    Args:
        target: The store to deliver to. Its experiment is used for runs that name none.
        source: Whose folder for local state to look in.
        seconds: As for `sync`.
    """
    patience = Patience(seconds)
    result = SyncResult()
    address = address_of(target, state_dir=source.state_dir)

    def deliver(journal: Journal) -> str:
        if journal.unsent and journal.address != address:
            journal.restart({"store": address, "experiment": journal.experiment or target.experiment})
        return _deliver(journal, target, patience, result)

    return replace(result, trouble=_for_each(source, deliver, result))


def _for_each(settings: StoreSettings, deliver: Callable[[Journal], str], result: SyncResult) -> str:
    """Call `deliver` with every journal here that no process writes, and note the damaged ones in `result`.

    Returns:
        What `deliver` returned last that was not empty.
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
    if journal.opening and journal.status == "RUNNING":
        body = {"status": "KILLED", "reason": GONE, "metrics": {}, "markdown": ""}
        journal.append("end", f"end #{journal.count('end')}", body, at=int(time.time() * 1000))


def _deliver(journal: Journal, settings: StoreSettings, patience: Patience, result: SyncResult) -> str:
    """Deliver one journal, note it in `result`, and return what went wrong, or an empty text."""
    if not journal.unsent:
        return ""
    settings = replace(settings, experiment=journal.experiment or settings.experiment)
    sender = Sender(journal, Delivery(settings, journal), patience)
    sender.start()
    refusal = ""
    try:
        sender.settle(failures=2)
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
                with held(folder, new=True):
                    if not (folder / JOURNAL).exists():
                        shutil.rmtree(folder)


def _is_unstarted(folder: Path) -> bool:
    found = folder.lstat()
    ours = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
    old = time.time() - found.st_mtime > UNSTARTED_SECONDS
    return ours and old and folder.is_dir() and not folder.is_symlink() and not (folder / JOURNAL).exists()


def bury(store: Store, run: RunSummary) -> RunSummary:
    """The run with the status it has: RUNNING becomes KILLED, in the store too, if its process has certainly ended.

    A run with a folder here is left to `sync`, which knows by the run's lock.
    """
    if run.status != "RUNNING" or not is_gone(run.tags):
        return run
    with contextlib.suppress(RunError):
        if folder_of(store.settings, run.run_id) is not None:
            return run
    with contextlib.suppress(Exception):  # a store that is only read, or has gone away
        store.client.set_tag(run.run_id, "cvexp.end_reason", GONE)
        store.client.set_terminated(run.run_id, "KILLED")
    return replace(run, status="KILLED")
