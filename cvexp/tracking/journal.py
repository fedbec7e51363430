"""A run's journal: the durable half of the outbox. Every event is on the local disk before the store is told.

A run's folder, `.cvexp/runs/<run id>`, holds `journal.jsonl`, to which every record is appended, and `sent.jsonl`,
which says up to which record the tracking store has them. An appended record survives the end of the process. A
flushed one (fsync) survives a crash of the machine; records are flushed before they are sent, and before a checkpoint
that follows them is written. By a record's timestamp the store recognises a figure that is delivered twice, and by its
key a resumed training does not record an event again: both are idempotent. Reading writes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING, Any, TypeVar

from filelock import FileLock, Timeout

from cvexp.errors import RunError, StorageError
from cvexp.events import Recorded, RunEnded, RunNamed, RunResumed, RunStarted, TagsSet
from cvexp.files import remove_temporaries
from cvexp.tracking.records import REMEDY, RESTART, Record, encoded, line_of, mark_of, read_lines, record_of

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping
    from pathlib import Path

Found = TypeVar("Found", bound=Recorded)

JOURNAL, SENT, LOCK = "journal.jsonl", "sent.jsonl", "lock"
NAME, FORMER_ID = "name", "former_id"
"""Facts that stay when the journal is delivered again: the run's name, and the id it had in the store."""


class Journal:
    """The journal in a run's folder; only the process that holds the run's lock may append to it.

    A reader ignores an incomplete last line that a crash left.

    Attributes:
        records: All of them, in order.
        facts: What the store answered, such as `run_id`.
        n_sent: How many records the store has.

    Raises:
        RunError: A line that is not the last one is damaged, or names a folder outside the run's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        # In this order: another process may append meanwhile, and never marks what is not in the journal yet.
        sent, sent_end = read_lines(folder / SENT, mark_of)
        self.records, end = read_lines(folder / JOURNAL, record_of)
        self._ends = {JOURNAL: end, SENT: sent_end}
        self._keys = {record.key for record in self.records}
        self.facts: dict[str, str] = {}
        self.n_sent = 0
        self._n_flushed = 0
        for line in sent:
            self.n_sent = line["n"] + 1
            self.facts = line["facts"] if line["n"] == RESTART else self.facts | line["facts"]
        if self.n_sent > len(self.records):
            raise RunError(f"damaged journal: {folder / JOURNAL} lost lines that were sent", REMEDY)

    @property
    def start(self) -> RunStarted:
        """The first event, which creates the run; raises RunError where the journal does not begin with it."""
        first = self.records[0].event if self.records else None
        if not isinstance(first, RunStarted):
            raise RunError(f"damaged journal: {self.folder / JOURNAL} does not begin with the run", REMEDY)
        return first

    @property
    def run_id(self) -> str:
        """The run's id in the store, the one it had there before the store lost it, or its own."""
        return self.facts.get("run_id") or self.facts.get(FORMER_ID) or self.folder.name

    @property
    def name(self) -> str:
        """The run's name in the store, or the one it was given; empty where neither is known yet."""
        named = next((event.name for event in reversed(self.of_type(RunNamed))), None)
        return str(self.facts.get(NAME) or named or self.start.name or "")

    @property
    def address(self) -> str:
        """The store it belongs to (see address_of); empty where a version of cvexp wrote it that did not record it."""
        return self.facts.get("store") or self.start.store

    @property
    def experiment(self) -> str:
        """Its MLflow experiment; empty as for `address`."""
        return self.facts.get("experiment") or self.start.experiment

    @property
    def tags(self) -> dict[str, str]:
        """As they were set last."""
        tags = dict(self.start.tags)
        for event in self.of_type(TagsSet):
            tags |= event.values
        return tags

    @property
    def unsent(self) -> int:
        """How many records the store does not have."""
        return len(self.records) - self.n_sent

    @property
    def status(self) -> str:
        """The run's status by its own events: RUNNING until one closes it, and again when it is resumed."""
        states = RunStarted | RunResumed | RunEnded
        last = next((r.event for r in reversed(self.records) if isinstance(r.event, states)), None)
        return last.status if isinstance(last, RunEnded) else "RUNNING"

    def of_type(self, event: type[Found]) -> list[Found]:
        """The events of one type, in order."""
        return [record.event for record in self.records if isinstance(record.event, event)]

    def append(self, event: Recorded, *, key: str, at: int) -> bool:
        """Append a record: handed to the system when this returns, durable after `flush`.

        Returns False where the journal has a record with that key already, which stays as it was. `at` is in
        milliseconds since the Unix epoch. Raises StorageError where the disk is full, or cannot be written.
        """
        if key in self._keys:
            return False
        record = Record(n=len(self.records), at=at, key=key, event=event)
        self._write(JOURNAL, line_of(record))
        with self._lock:
            self.records.append(record)
            self._keys.add(key)
        return True

    def flush(self) -> None:
        """Make every record so far durable (fsync), in any thread; raises StorageError as `append` does."""
        n = len(self.records)
        if n > self._n_flushed:
            file = self.folder / JOURNAL
            try:
                with file.open("r+b") as stream:
                    os.fsync(stream.fileno())
            except OSError as error:
                raise _storage_error(file, error) from error
            self._n_flushed = n

    def mark_sent(self, record: Record, facts: Mapping[str, str]) -> None:
        """Note that the store has the record; if a crash loses the note, it is delivered again, which is idempotent."""
        self._write(SENT, {"n": record.n, "facts": dict(facts)})
        with self._lock:
            self.facts |= facts
            self.n_sent = record.n + 1

    def restart(self, facts: Mapping[str, str] | None = None) -> None:
        """Have everything delivered again: the store has lost the run, or the run goes to the one that `facts` name.

        Of the store's answers the run's name and former id are kept.
        """
        kept = {key: self.facts[key] for key in ("store", "experiment", NAME) if key in self.facts}
        facts = {**kept, FORMER_ID: self.run_id, **(facts or {})}
        self._write(SENT, {"n": RESTART, "facts": facts})
        with self._lock:
            self.facts = dict(facts)
            self.n_sent = 0

    def path(self, relative: str) -> Path:
        """The folder that a record names; raises RunError for a symbolic link in it, which may lead elsewhere."""
        path = self.folder / relative
        for one in (path, *path.rglob("*")):
            if one.is_symlink():
                raise RunError(f"{one} is a symbolic link, and its target is not delivered", "remove the link")
        return path

    def move(self, folder: Path) -> None:
        """Rename the run's folder; its lock stays locked."""
        with self._lock:
            self.folder.rename(folder)
            self.folder = folder

    def _write(self, name: str, line: dict[str, Any]) -> None:
        """Append a line to a file, where what a crash left is cut off first."""
        file, end, content = self.folder / name, self._ends[name], encoded(line)
        try:
            with _opened(file) as stream:
                if stream.tell() > end:
                    stream.truncate(end)
                try:
                    if stream.write(content) < len(content):
                        full = errno.ENOSPC  # after a partial write
                        raise OSError(full, os.strerror(full))  # noqa: TRY301 - as if the system had raised it
                except BaseException:  # an interrupt as well: the line is in the file and in `records`, or in neither
                    with contextlib.suppress(OSError):
                        stream.truncate(end)
                    raise
        except OSError as error:
            raise _storage_error(file, error) from error
        self._ends[name] = end + len(content)


@contextlib.contextmanager
def run_lock(folder: Path, *, new: bool = False) -> Iterator[None]:
    """Lock a run against other processes, and remove temporary files that a killed one left.

    The system releases the lock when this process ends. Read the journal after this, not before: another process may
    have written it, or removed the folder, until then. A `new` run has no journal yet.

    Raises:
        RunError: Another process is writing the run, or its folder is gone.
    """
    lock = FileLock(folder / LOCK)
    gone = RunError(f"run {folder.name} left nothing in {folder.parent}", "another process finished or discarded it")
    if not folder.is_dir():
        raise gone
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"run {folder.name} is being written by another process", "wait for it, or end it") from error
    try:
        if not new and not (folder / JOURNAL).exists():
            with contextlib.suppress(OSError):  # the lock's file is all there is: opening it created the folder again
                (folder / LOCK).unlink()
                folder.rmdir()
            raise gone
        remove_temporaries(folder)
        yield
    finally:
        lock.release()


def _opened(file: Path) -> io.RawIOBase:
    follow_no_link = getattr(os, "O_NOFOLLOW", 0)
    return open(file, "ab", buffering=0, opener=lambda path, flags: os.open(path, flags | follow_no_link, 0o666))


def _storage_error(file: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write {file}: {error.strerror}", "make room there, then resume the run with --resume")
