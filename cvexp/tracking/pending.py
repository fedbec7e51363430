"""Runs whose process is gone: deliver what their journals still hold, and say in the store that they ended."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cvexp.errors import CvexpError, RunError
from cvexp.results import RunSummary
from cvexp.settings import CHECKPOINTS, RUNS
from cvexp.tracking.delivery import Delivery
from cvexp.tracking.journal import JOURNAL, Journal, held
from cvexp.tracking.sender import Patience, Sender

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from cvexp.settings import StoreSettings
    from cvexp.tracking.store import Store

GONE = "the process is gone"
HOST, PID, STARTED = "cvexp.host", "cvexp.pid", "cvexp.process_started"
_SAME_SECONDS = 1.5
"""Two readings of one process's start differ by less; the system counts in hundredths."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SyncResult:
    """What became of the journals that waited.

    Attributes:
        delivered: Records that the store was told, by run.
        left: Records that it still was not, by run.
        trouble: Why, in one line.
    """

    delivered: dict[str, int]
    left: dict[str, int]
    trouble: str = ""


def process_tags() -> dict[str, str]:
    """Tags that say which process writes a run: host, number, and when it started, seconds since Unix's epoch."""
    import psutil

    return {HOST: socket.gethostname(), PID: str(os.getpid()), STARTED: f"{psutil.Process().create_time():.2f}"}


def is_gone(tags: Mapping[str, str]) -> bool:
    """Whether the process that `process_tags` described was one of this machine's, and runs no more."""
    import psutil

    if tags.get(HOST) != socket.gethostname():
        return False
    try:
        pid, tagged = int(tags[PID]), float(tags[STARTED])
    except (KeyError, ValueError):
        return False
    try:
        process = psutil.Process(pid)
        started, dead = process.create_time(), process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except (psutil.AccessDenied, ValueError, OverflowError):
        return False
    return dead or abs(started - tagged) > _SAME_SECONDS


def folders(settings: StoreSettings) -> list[Path]:
    """The folders of runs under way or left behind."""
    runs = settings.state_dir / RUNS
    return sorted(folder for folder in runs.iterdir() if (folder / JOURNAL).exists()) if runs.is_dir() else []


def folder_of(settings: StoreSettings, run_id: str) -> Path | None:
    """The local folder of a run, if it is still there."""
    for folder in folders(settings):
        if folder.name == run_id:
            return folder
        with contextlib.suppress(RunError):  # a damaged journal is its own run's trouble
            if Journal(folder).facts.get("run_id") == run_id:
                return folder
    return None


def sync(settings: StoreSettings, *, seconds: float) -> SyncResult:
    """Deliver what the journals of ended processes hold; runs that ended without saying so become KILLED.

    Args:
        settings: Which store.
        seconds: How long to wait for it, all in all.

    Raises:
        StoreError: The store cannot be used.
    """
    delivered: dict[str, int] = {}
    left: dict[str, int] = {}
    trouble = ""
    patience = Patience(seconds)
    for folder in folders(settings):
        with _taken(folder) as taken:
            if not taken:
                continue
            try:
                journal = Journal(folder)
            except RunError as error:
                trouble = error.what
                continue
            if not journal.records:
                continue
            if journal.status == "RUNNING":
                now = int(time.time() * 1000)
                body = {"status": "KILLED", "reason": GONE, "metrics": {}, "markdown": ""}
                journal.append("end", f"end #{journal.count('end')}", body, at=now)
            waiting = journal.unsent
            if not waiting:
                continue
            sender = Sender(journal, Delivery(settings, journal), patience)
            sender.start()
            try:
                sender.settle(failures=2)
            finally:
                sender.stop()
            run_id = journal.facts.get("run_id", folder.name)
            delivered[run_id] = waiting - journal.unsent
            if journal.unsent:
                left[run_id], trouble = journal.unsent, sender.trouble
            elif journal.status == "FINISHED" and not (folder / CHECKPOINTS).is_dir():
                shutil.rmtree(folder, ignore_errors=True)
            elif folder.name != run_id:
                journal.move(folder.with_name(run_id))
    return SyncResult(delivered=delivered, left=left, trouble=trouble)


def sync_quietly(settings: StoreSettings, *, seconds: float = 5.0) -> None:
    """`sync` where something else is the user's business; what does not go now goes later."""
    with contextlib.suppress(CvexpError, OSError):
        sync(settings, seconds=seconds)


def bury(store: Store, run: RunSummary) -> RunSummary:
    """The run as it is known after a look at its process: one that is gone leaves a KILLED run, in the store too."""
    if run.status != "RUNNING" or not is_gone(run.tags) or folder_of(store.settings, run.run_id) is not None:
        return run
    with contextlib.suppress(Exception):  # a store that is only read, or has gone away
        store.client.set_tag(run.run_id, "cvexp.end_reason", GONE)
        store.client.set_terminated(run.run_id, "KILLED")
    return replace(run, status="KILLED")


def unknown_to_the_store(settings: StoreSettings) -> list[RunSummary]:
    """Runs that so far only their journals know, most recently started first."""
    found = []
    for folder in folders(settings):
        with contextlib.suppress(CvexpError):
            journal = Journal(folder)
            if journal.records and "run_id" not in journal.facts:
                found.append(_summary(journal))
    return sorted(found, key=lambda run: run.started_at, reverse=True)


def _summary(journal: Journal) -> RunSummary:
    """A run as its journal tells it; what it stored lies beside the journal."""
    first = journal.records[0]
    params: dict[str, str] = {}
    metrics: dict[str, float] = {}
    tags = dict(first.body["tags"])
    name = first.body["name"] or first.body["model"]
    for record in journal.records[1:]:
        if record.kind == "params":
            params |= record.body
        elif record.kind == "metrics":
            metrics |= record.body["values"]
        elif record.kind == "tags":
            tags |= record.body
        elif record.kind == "name":
            name = record.body["name"]
    return RunSummary(
        run_id=journal.folder.name,
        name=name,
        status=journal.status,
        experiment_id="",
        artifacts_uri=str(journal.folder.absolute()),
        started_at=datetime.fromtimestamp(first.at / 1000, tz=UTC),
        params=params,
        metrics=metrics,
        tags=tags,
    )


@contextlib.contextmanager
def _taken(folder: Path) -> Iterator[bool]:
    """Whether the run's folder is ours for the length of the block: nobody else writes it."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(held(folder))
        except (RunError, OSError):
            yield False
            return
        yield True
