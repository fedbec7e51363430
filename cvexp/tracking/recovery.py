"""Recovery, once at a command's start: left-over records of ended processes are delivered, their runs become KILLED."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import threading
import time
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from cvexp.errors import CvexpError, RunError, StoreError
from cvexp.events import RunEnded
from cvexp.settings import CHECKPOINTS, DEFAULT_EXPERIMENT, RUNS
from cvexp.tracking.checks import check_settings
from cvexp.tracking.deadline import Deadline
from cvexp.tracking.delivery import delivered_now
from cvexp.tracking.journal import JOURNAL, Journal, run_lock
from cvexp.tracking.local import address_of, all_folders, belongs, folder_of, is_ours, leftover_of, lock_if_free
from cvexp.tracking.mlflow_errors import translated
from cvexp.tracking.queries import search
from cvexp.tracking.rows import Fields
from cvexp.tracking.store import load_mlflow, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.settings import StoreSettings
    from cvexp.tracking.local import Leftover

Found = TypeVar("Found")

GONE = "the process is gone"
UNSTARTED_SECONDS = 60.0  # a folder without a journal that is older was left by a killed process
SYNC_SECONDS, CLOSING_SECONDS = 5.0, 2.0
"""How long a command waits for the two parts of its recovery; what is not done by then is left to a later one."""


@dataclass(kw_only=True, slots=True)
class SyncResult:
    """What became of the left-over records.

    Attributes:
        delivered: How many were delivered, by run.
        left: How many could not be, by run.
        damaged: What is wrong with journals that cannot be used, by the name of the run's folder.
        elsewhere: Runs with records for another store.
        trouble: Why records are left, in one line.
    """

    delivered: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, str] = field(default_factory=dict)
    elsewhere: list[Leftover] = field(default_factory=list)
    trouble: str = ""


def sync(settings: StoreSettings, *, seconds: float, stall_seconds: float | None = None) -> SyncResult:
    """Deliver the left-over records of ended processes to this store; their open runs become KILLED.

    Each run goes to the experiment that its journal names; for `seconds` and `stall_seconds` see Deadline.
    """
    _remove_unstarted(settings)
    deadline = Deadline(seconds, stall_seconds=stall_seconds)

    def deliver(journal: Journal, result: SyncResult) -> None:
        if belongs(journal, settings):
            _deliver(journal, settings, deadline, result)
        elif journal.unsent:
            result.elsewhere.append(leftover_of(journal, settings))

    return _for_each(settings, deliver)


def recover(settings: StoreSettings) -> None:
    """The start-up step of commands that use the store: `sync`, and close the runs of dead processes in the store.

    It takes some seconds at the most, raises nothing, and can be repeated; what fails is left to a later command.
    """
    with contextlib.suppress(CvexpError, OSError):
        sync(settings, seconds=SYNC_SECONDS, stall_seconds=0)
    with contextlib.suppress(CvexpError, OSError):
        check_settings(settings, create=False)
        if settings.sqlite_file is None:
            load_mlflow(settings)  # imports are not what the deadline is for
        if dead := _within(CLOSING_SECONDS, partial(_dead_runs, settings)):
            load_mlflow(settings)  # likewise; a local store without such runs, as nearly all, does without MLflow
            _within(CLOSING_SECONDS, partial(_close_dead_runs, settings, dead))


def _within(seconds: float, work: Callable[[], Found]) -> Found | None:
    """What `work` returns; None where it takes longer, or raises, as it does of a store that is read-only."""
    found: list[Found] = []

    def run() -> None:
        with contextlib.suppress(Exception):
            found.append(work())

    thread = threading.Thread(target=run, name="cvexp-recovery", daemon=True)
    thread.start()
    thread.join(seconds)
    return found[0] if found else None


def _close_dead_runs(settings: StoreSettings, dead: Sequence[str]) -> None:
    """Set these runs to KILLED; `sync` does those with a folder. Raises what the store's client does."""
    from cvexp.tracking.mlflow_sink import tags

    client = open_store(_any_experiment(settings), create=False).client
    for run_id in dead:
        client.log_batch(run_id, metrics=[delivered_now()], tags=tags({"cvexp.end_reason": GONE}))
        client.set_terminated(run_id, "KILLED")


def _dead_runs(settings: StoreSettings) -> list[str]:
    """The ids of runs without a folder here that the store calls RUNNING, and whose process has ended.

    Raises StoreError where the store cannot be read.
    """
    store = open_store(_any_experiment(settings), create=False)
    running = search(store, status="RUNNING", everywhere=True, fields=Fields(params=(), metrics=()))
    dead = []
    for run in running:
        with contextlib.suppress(RunError):  # its folder belongs to another user
            if run.status == "KILLED" and folder_of(settings, run.run_id) is None:
                dead.append(run.run_id)
    return dead


def _any_experiment(settings: StoreSettings) -> StoreSettings:
    """The settings with the experiment that every store has; runs are looked for in all of them."""
    return replace(settings, experiment=DEFAULT_EXPERIMENT)


def close_run(settings: StoreSettings, run_id: str, *, reason: str) -> None:
    """Have the store call a run KILLED that no process of this machine wrote; raises StoreError where that fails."""
    store = open_store(settings, create=False)
    with translated(settings):
        store.client.set_tag(run_id, "cvexp.end_reason", reason)
        store.client.set_terminated(run_id, "KILLED")


def send_to(target: StoreSettings, source: StoreSettings, *, seconds: float) -> SyncResult:
    """Deliver every run that waits in the source's folder to the target, whatever store it belongs to so far.

    The target's experiment is used for runs that name none; for `seconds` see Deadline.
    """
    deadline = Deadline(seconds)
    address = address_of(target, state_dir=source.state_dir)

    def deliver(journal: Journal, result: SyncResult) -> None:
        if journal.unsent and journal.address != address:
            journal.restart({"store": address, "experiment": journal.experiment or target.experiment})
        _deliver(journal, target, deadline, result)

    return _for_each(source, deliver)


def _for_each(settings: StoreSettings, deliver: Callable[[Journal, SyncResult], None]) -> SyncResult:
    """Call `deliver` with every journal here that no process writes, its run marked as KILLED."""
    result = SyncResult()
    for folder in all_folders(settings):
        if not is_ours(folder):
            result.damaged[folder.name] = f"{folder} belongs to another user, and nothing is taken from it"
            continue
        with lock_if_free(folder) as free:
            if not free:
                continue
            try:
                journal = Journal(folder)
                if journal.start and journal.status == "RUNNING":
                    end, n_ends = RunEnded(status="KILLED", reason=GONE), len(journal.of_type(RunEnded))
                    journal.append(end, key=f"end #{n_ends}", at=int(time.time() * 1000))
                deliver(journal, result)
            except RunError as error:  # a damaged journal concerns its own run only
                result.damaged[folder.name] = error.what
    return result


def _deliver(journal: Journal, settings: StoreSettings, deadline: Deadline, result: SyncResult) -> None:
    """Deliver one journal, and note in `result` what became of it."""
    if not journal.unsent:
        return
    from cvexp.tracking.mlflow_sink import MlflowSink  # here, since most commands find nothing to deliver
    from cvexp.tracking.sender import NO_ANSWER, Sender

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
        result.trouble = refusal or sender.trouble or NO_ANSWER
    elif journal.status == "FINISHED" and not (folder / CHECKPOINTS).is_dir():
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.name != run_id:
        journal.move(folder.with_name(run_id))


def _remove_unstarted(settings: StoreSettings) -> None:
    """Remove folders of runs whose process was killed before it wrote their first record."""
    runs = settings.state_dir / RUNS
    for folder in sorted(runs.iterdir()) if runs.is_dir() else ():
        with contextlib.suppress(OSError, RunError):
            found = folder.lstat()
            ours = not hasattr(os, "geteuid") or found.st_uid == os.geteuid()
            old = time.time() - found.st_mtime > UNSTARTED_SECONDS
            if ours and old and stat.S_ISDIR(found.st_mode) and not (folder / JOURNAL).exists():
                with run_lock(folder, new=True):
                    if not (folder / JOURNAL).exists():
                        shutil.rmtree(folder)
