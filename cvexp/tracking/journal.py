"""Everything a run has to tell, on the local disk before anyone else is told.

A run's folder, `.cvexp/runs/<run id>`, holds `journal.jsonl`, to which every record is appended, and `sent.jsonl`,
which says how far the tracking store has been told. What is appended outlives the process, however that ends; what is
flushed outlives the machine, and is before the store hears of it, and before a checkpoint that counts on it is written.
A record carries the moment it was made and a key. By the moment the store recognises a figure that is told twice; by
the key a resumed training knows that it has told something already.
"""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import threading
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from cvexp.errors import RunError, StorageError
from cvexp.files import remove_temporaries

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator, Mapping
    from pathlib import Path

JOURNAL, SENT, LOCK = "journal.jsonl", "sent.jsonl", "lock"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One thing to tell.

    Attributes:
        n: Its place in the journal, from 0.
        at: When it was made, milliseconds since the epoch of Unix.
        kind: What the store is to do; a method of Delivery.
        key: Different for every record of a journal.
        body: Plain values.
    """

    n: int
    at: int
    kind: str
    key: str
    body: dict[str, Any]


class Journal:
    """A run's journal; one process at a time writes it.

    Args:
        folder: The run's. What is there already is read; a last line that a crash cut short is dropped.

    Attributes:
        records: All of them, in order.
        facts: What the store answered, such as `run_id`.

    Raises:
        RunError: A line that is not the last one cannot be read.
        StorageError: The folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        lines = _lines(folder / JOURNAL, {f.name for f in fields(Record)})
        self.records = [Record(**{**line, "n": n}) for n, line in enumerate(lines)]
        self._keys = {record.key for record in self.records}
        self.facts: dict[str, str] = {}
        self.n_sent = 0
        self._n_flushed = 0
        for line in _lines(folder / SENT, {"n", "facts"}):
            self.n_sent = line["n"] + 1
            self.facts |= line["facts"]
        if self.n_sent > len(self.records):
            raise RunError(f"damaged journal: {folder / JOURNAL} lost lines that were sent", _REMEDY)

    @property
    def unsent(self) -> int:
        """How many records the store has not been told."""
        return len(self.records) - self.n_sent

    @property
    def status(self) -> str:
        """What the run is by its own account: RUNNING until a record closes it, and again when it is resumed."""
        last = next((r for r in reversed(self.records) if r.kind in ("run", "again", "end")), None)
        return str(last.body["status"]) if last is not None and last.kind == "end" else "RUNNING"

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
        _append(self.folder / JOURNAL, asdict(record))
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
        _append(self.folder / SENT, {"n": record.n, "facts": dict(facts)})
        with self._lock:
            self.facts |= facts
            self.n_sent += 1

    def move(self, folder: Path) -> None:
        """Rename the run's folder; whoever holds its lock goes on holding it."""
        with self._lock:
            self.folder.rename(folder)
            self.folder = folder


_REMEDY = "restore it, or move it away"


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep other processes from writing a run, and remove what one that was killed had half written.

    The system lets go of it when this process ends, however it ends.

    Args:
        folder: The run's.

    Raises:
        RunError: Another process is writing it.
    """
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise RunError(f"run {folder.name} is being written by another process", "wait for it, or end it") from error
    try:
        remove_temporaries(folder)
        yield
    finally:
        lock.release()


def _lines(file: Path, keys: set[str]) -> list[dict[str, Any]]:
    """The JSON lines of a file, objects with these keys. What a crash left of the last one is cut off."""
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return []
    found: list[dict[str, Any]] = []
    end = 0
    for line in content.splitlines(keepends=True):
        try:
            if not line.endswith(b"\n"):
                raise ValueError  # noqa: TRY301 - handled like a line that cannot be parsed
            read = json.loads(line, object_hook=_restored)
            if not isinstance(read, dict) or read.keys() != keys:
                where = f"{file}, line {len(found) + 1}"
                raise RunError(f"damaged journal: {where}", _REMEDY)
            found.append(read)
        except ValueError:
            if end + len(line) < len(content):
                where = f"{file}, line {len(found) + 1}"
                raise RunError(f"damaged journal: {where}", _REMEDY) from None
            with contextlib.suppress(OSError), file.open("r+b") as stream:
                stream.truncate(end)
            break
        end += len(line)
    return found


_NOT_FINITE = "not a finite number"
"""The key of an object that stands for NaN or an infinity, for which JSON has no words."""


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return {_NOT_FINITE: str(value)}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def _restored(read: dict[str, Any]) -> Any:
    return float(read[_NOT_FINITE]) if read.keys() == {_NOT_FINITE} else read


def _opened(file: Path) -> io.RawIOBase:
    return file.open("ab", buffering=0)


def _append(file: Path, line: dict[str, Any]) -> None:
    content = (json.dumps(_plain(line), ensure_ascii=False, allow_nan=False) + "\n").encode()
    try:
        with _opened(file) as stream:
            start = stream.tell()
            try:
                if stream.write(content) < len(content):
                    full = errno.ENOSPC  # which is what a disk means that takes a part
                    raise OSError(full, os.strerror(full))  # noqa: TRY301 - as if the system had raised it
            except BaseException:  # an interrupt as well: the line is there and known, or neither
                with contextlib.suppress(OSError):
                    stream.truncate(start)
                raise
    except OSError as error:
        raise _refused(file, error) from error


def _refused(file: Path, error: OSError) -> StorageError:
    return StorageError(f"cannot write {file}: {error.strerror}", "make room there, then go on with --resume")
