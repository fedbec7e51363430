"""Everything a run has to tell, on the local disk before anyone else is told.

A run's folder, `.cvexp/runs/<run id>`, holds `journal.jsonl`, to which every record is appended, and `sent.jsonl`,
which says how far the tracking store has been told. What is appended outlives the process, however that ends; what is
flushed outlives the machine, and is before the store hears of it, and before a checkpoint that counts on it is written.
A record carries the moment it was made and a key. By the moment the store recognises a figure that is told twice; by
the key a resumed training knows that it has told something already.

Reading writes nothing. Only the process that holds the run's lock appends, and before it does it cuts off the
incomplete last line that a crash may have left. A journal read from the disk is untrusted input: every line is checked.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from cvexp.errors import RunError, StorageError
from cvexp.files import remove_temporaries
from cvexp.tracking.records import REMEDY, RESTART, Record, is_mark, is_opening, is_record, read_lines, written

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping
    from pathlib import Path

JOURNAL, SENT, LOCK = "journal.jsonl", "sent.jsonl", "lock"
NAME, FORMER_ID = "name", "former_id"
"""Facts that are kept when the journal is delivered again: the run's name, and the id it had in the store."""


class Journal:
    """A run's journal; only the process that holds the run's lock may append to it.

    Args:
        folder: The run's. What is there already is read; an incomplete last line is ignored.

    Attributes:
        records: All of them, in order.
        facts: What the store answered, such as `run_id`.
        n_sent: How many records the store was told.

    Raises:
        RunError: A line that is not the last one cannot be read, or names a folder outside the run's.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        # In this order: another process may append meanwhile, and never marks what is not in the journal yet.
        sent, sent_end = read_lines(folder / SENT, is_mark)
        lines, end = read_lines(folder / JOURNAL, is_record)
        self._ends = {JOURNAL: end, SENT: sent_end}
        self.records = [Record(**{**line, "n": n}) for n, line in enumerate(lines)]
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
    def opening(self) -> dict[str, Any]:
        """The body of the first record, which creates the run.

        Raises:
            RunError: The journal does not begin with such a record.
        """
        first = self.records[0] if self.records else None
        if first is None or first.kind != "run" or not is_opening(first.body):
            raise RunError(f"damaged journal: {self.folder / JOURNAL} does not begin with the run", REMEDY)
        return first.body

    @property
    def run_id(self) -> str:
        """The run's id in the store, the one it had there before the store lost it, or its own."""
        return self.facts.get("run_id") or self.facts.get(FORMER_ID) or self.folder.name

    @property
    def name(self) -> str:
        """The run's name in the store, or the one it was given; empty where that is still open."""
        given = next((record.body.get("name") for record in reversed(self.records) if record.kind == "name"), None)
        return str(self.facts.get(NAME) or given or self.opening.get("name") or "")

    @property
    def address(self) -> str:
        """The store it belongs to (see address_of); empty where a version of cvexp wrote it that did not note it."""
        return str(self.facts.get("store") or self.opening.get("store") or "")

    @property
    def experiment(self) -> str:
        """The MLflow experiment it belongs to; empty as for `address`."""
        return str(self.facts.get("experiment") or self.opening.get("experiment") or "")

    @property
    def unsent(self) -> int:
        """How many records the store has not been told."""
        return len(self.records) - self.n_sent

    @property
    def status(self) -> str:
        """What the run is by its own account: RUNNING until a record closes it, and again when it is resumed."""
        last = next((r for r in reversed(self.records) if r.kind in ("run", "again", "end")), None)
        return str(last.body.get("status")) if last is not None and last.kind == "end" else "RUNNING"

    def count(self, kind: str) -> int:
        """How many records are of that kind."""
        return sum(record.kind == kind for record in self.records)

    def append(self, kind: str, key: str, body: Mapping[str, Any], *, at: int) -> bool:
        """Write a record, which the system has when this returns, and the disk after `flush`.

        Returns:
            False where a record with that key is there already; it stays as it was.

        Raises:
            StorageError: The disk takes no more.
        """
        if key in self._keys:
            return False
        record = Record(n=len(self.records), at=at, kind=kind, key=key, body=dict(body))
        self._write(JOURNAL, asdict(record))
        with self._lock:
            self.records.append(record)
            self._keys.add(key)
        return True

    def flush(self) -> None:
        """Wait until the disk has every record so far. May be called in any thread.

        Raises:
            StorageError: It does not take them.
        """
        n = len(self.records)
        if n > self._n_flushed:
            file = self.folder / JOURNAL
            try:
                with file.open("r+b") as stream:
                    os.fsync(stream.fileno())
            except OSError as error:
                raise _refused(file, error) from error
            self._n_flushed = n

    def mark_sent(self, record: Record, facts: Mapping[str, str]) -> None:
        """Note that the store was told. A crash may lose the note; then the store is told again, and recognises it."""
        self._write(SENT, {"n": record.n, "facts": dict(facts)})
        with self._lock:
            self.facts |= facts
            self.n_sent = record.n + 1

    def restart(self, facts: Mapping[str, str] | None = None) -> None:
        """Deliver everything again, from the first record on: the store has lost the run, or it goes to another one.

        Of what the store answered so far the run's name and its id are kept, for people.

        Args:
            facts: `store` and `experiment`, where they change.
        """
        kept = {key: self.facts[key] for key in ("store", "experiment", NAME) if key in self.facts}
        facts = {**kept, FORMER_ID: self.run_id, **(facts or {})}
        self._write(SENT, {"n": RESTART, "facts": facts})
        with self._lock:
            self.facts = dict(facts)
            self.n_sent = 0

    def path(self, relative: str) -> Path:
        """A folder beside the journal that a record names.

        Raises:
            RunError: It holds a symbolic link, which may lead out of the run's folder.
        """
        path = self.folder / relative
        for one in (path, *path.rglob("*")):
            if one.is_symlink():
                raise RunError(f"{one} is a symbolic link, and what it leads to is not delivered", "remove the link")
        return path

    def move(self, folder: Path) -> None:
        """Rename the run's folder; whoever holds its lock goes on holding it."""
        with self._lock:
            self.folder.rename(folder)
            self.folder = folder

    def _write(self, name: str, line: dict[str, Any]) -> None:
        self._ends[name] = _append(self.folder / name, line, end=self._ends[name])


@contextlib.contextmanager
def held(folder: Path, *, new: bool = False) -> Iterator[None]:
    """Keep other processes from writing a run, and remove what one that was killed had half written.

    The system lets go of the lock when this process ends, however it ends. Read the journal after this, not before:
    another process may have written it, or removed the folder, until then.

    Args:
        folder: The run's.
        new: Whether the run has no journal yet.

    Raises:
        RunError: Another process is writing the run, or its folder is gone.
    """
    lock = FileLock(folder / LOCK)
    try:
        if not folder.is_dir():
            raise _gone(folder)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"run {folder.name} is being written by another process", "wait for it, or end it") from error
    try:
        if not new and not (folder / JOURNAL).exists():
            with contextlib.suppress(OSError):  # the lock's file is all there is: opening it made the folder anew
                (folder / LOCK).unlink()
                folder.rmdir()
            raise _gone(folder)
        remove_temporaries(folder)
        yield
    finally:
        lock.release()


def _gone(folder: Path) -> RunError:
    return RunError(f"run {folder.name} left nothing in {folder.parent}", "another process finished or discarded it")


def _opened(file: Path) -> io.RawIOBase:
    def not_a_link(path: str, flags: int) -> int:
        return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    return open(file, "ab", buffering=0, opener=not_a_link)


def _append(file: Path, line: dict[str, Any], *, end: int) -> int:
    """Append a line at `end`, after which whatever a crash left is cut off; returns the new end, in bytes."""
    content = written(line)
    try:
        with _opened(file) as stream:
            if stream.tell() > end:
                stream.truncate(end)
            try:
                if stream.write(content) < len(content):
                    full = errno.ENOSPC  # a partial write: the disk is full
                    raise OSError(full, os.strerror(full))  # noqa: TRY301 - as if the system had raised it
            except BaseException:  # an interrupt as well: the line is there and known, or neither
                with contextlib.suppress(OSError):
                    stream.truncate(end)
                raise
    except OSError as error:
        raise _refused(file, error) from error
    return end + len(content)


def _refused(file: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write {file}: {error.strerror}", "make room there, then go on with --resume")
