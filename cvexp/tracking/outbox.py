"""The outbox of a run: each event is appended to the run's journal at once, and delivered to the store from there."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp import events
from cvexp.errors import StorageError, StoreError
from cvexp.redaction import without_credentials
from cvexp.runs import NAME_DIGITS
from cvexp.settings import CHECKPOINTS, RUNS
from cvexp.tracking.checks import check_settings
from cvexp.tracking.deadline import Deadline
from cvexp.tracking.journal import Journal, run_lock
from cvexp.tracking.local import address_of
from cvexp.tracking.mlflow_sink import MlflowSink
from cvexp.tracking.sender import NO_ANSWER, Sender
from cvexp.tracking.store import make_state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cvexp.settings import StoreSettings

FAILURES_AT_THE_END = 4
"""Deliveries that may fail before a run that has ended is left to `cvexp sync`."""


class Outbox:
    """A run that is being written: its journal, and the sender that delivers it.

    `seconds` counts what appending to the journal and waiting for the store took, so that no training figure has it.
    """

    def __init__(self, settings: StoreSettings, journal: Journal, deadline: Deadline, *, linger: float = 0.0) -> None:
        self._settings, self.journal, self._linger = settings, journal, linger
        self._sender = Sender(journal, MlflowSink(settings, journal), deadline, linger=linger)
        self._clock = time.time
        self.seconds = 0.0

    @property
    def run_id(self) -> str:
        """32 hexadecimal digits; MLflow's, or one of our own while the store has not answered."""
        return self.journal.run_id

    @property
    def folder(self) -> Path:
        """The run's folder for local state; the paths of events are relative to it."""
        return self.journal.folder

    @property
    def name(self) -> str:
        """The model's name and the first digits of the id, unless the user named the run."""
        return self.journal.name or f"{self.journal.start.model}-{self.run_id[:NAME_DIGITS]}"

    @property
    def trouble(self) -> str:
        """Why records are undelivered, in one line."""
        return self._sender.trouble or NO_ANSWER

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

    def begin(self, *, model: str, name: str | None, tags: Mapping[str, str]) -> None:
        """Create the run, and wait for the store until the deadline; raises StoreError if no delivery can succeed."""
        with self._timed():
            local_id, experiment = self.folder.name, self._settings.experiment
            store = address_of(self._settings, state_dir=self._settings.state_dir)
            start = events.RunStarted(
                model=model, name=name, tags=dict(tags), local_id=local_id, store=store, experiment=experiment
            )
            self._append(start)
            if not self._first_delivery() and name is None:
                self._append(events.RunNamed(name=f"{model}-{local_id[:NAME_DIGITS]}"))

    def resume(self, tags: Mapping[str, str]) -> None:
        """Open a run again whose process has ended; raises StoreError as `begin` does."""
        with self._timed():
            self._append(events.RunResumed())
            self._append(events.TagsSet(dict(tags)))
            self._first_delivery()

    def _first_delivery(self) -> bool:
        """Wait for the store's answer, and name the run's folder by its id there."""
        self._sender.start()
        answered = self._sender.drain(max_failures=1)
        if answered and self.folder.name != self.run_id:
            self.journal.move(self.folder.with_name(self.run_id))
        return answered

    def emit(self, event: events.Recorded) -> None:
        """Record an event, idempotently: one that a process before this one has recorded is left out.

        The end of the run is flushed to the disk. Raises StorageError where the disk is full, or cannot be written.
        """
        with self._timed():
            self._append(event)
            if isinstance(event, events.RunEnded):
                self.journal.flush()

    def drain(self) -> None:
        """Wait until the store has everything, or until the deadline; not where records linger.

        What the store refuses by now waits for `cvexp sync`.
        """
        if not self._linger:
            with self._timed(), contextlib.suppress(StoreError):
                self._sender.drain()

    def close(self) -> None:
        """Wait for the store while it makes progress, or until the deadline, and deliver nothing after that."""
        with self._timed(), contextlib.suppress(StoreError):
            self._sender.drain(max_failures=FAILURES_AT_THE_END)
        self._sender.stop()

    def _append(self, event: events.Recorded) -> None:
        if isinstance(event, events.RunStarted):
            event = replace(event, tags=_cleaned(event.tags))
        elif isinstance(event, events.TagsSet):
            event = events.TagsSet(_cleaned(event.values))
        elif isinstance(event, events.RunEnded):
            event = replace(event, reason=without_credentials(event.reason))
        elif isinstance(event, events.ModelAnnounced):
            event = replace(event, attempt=str(self._n_ends))
        self.journal.append(event, key=self._key(event), at=int(self._clock() * 1000))
        self._sender.notify()

    @property
    def _n_ends(self) -> int:
        return len(self.journal.of_type(events.RunEnded))

    def _key(self, event: events.Recorded) -> str:
        """The event's key in the journal: equal for events of which the run may have one only."""
        detail: object
        match event:
            case events.RunResumed():
                detail = len(self.journal.of_type(events.RunResumed))
            case events.TagsSet():
                detail = len(self.journal.records)
            case events.MetricsLogged():
                detail = f"{event.step} {' '.join(sorted(event.values))}"
            case events.SeriesLogged():
                detail = f"{event.key} {min(step for step, _ in event.points)}"
            case events.FilesStored():
                detail = f"{event.name} #{self._n_ends}"  # again each time the run ends
            case events.ModelAnnounced() | events.ModelStored() | events.RunEnded():
                detail = f"#{self._n_ends}"
            case _:
                return event.kind
        return f"{event.kind} {detail}"


def _cleaned(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: without_credentials(value) for key, value in tags.items()}


@contextlib.contextmanager
def open_run(
    settings: StoreSettings,
    *,
    model: str,
    name: str | None,
    tags: Mapping[str, str],
    prepare_folder: Callable[[Path], object] = lambda _folder: None,
    should_stop: Callable[[], bool] = lambda: False,
    keep: bool = False,
    linger: float = 0.0,
) -> Iterator[Outbox]:
    """Open a run, and close it however the block is left.

    Leaving normally makes it FINISHED; an exception FAILED, with the reason as a tag; an interrupt KILLED. The run's
    folder is removed when it is FINISHED and the store has everything, unless `keep` is true. It is given to
    `prepare_folder` before the run is recorded. A run without a `name` is named after its model and its id; `tags` are
    those known before it starts. Once `should_stop()`, the store is not waited for long. Records `linger` for so many
    seconds, to go out several in one call; see `Sender`.

    Raises:
        StoreError: The store cannot be used; nothing is left behind.
    """
    check_settings(settings, create=True)
    folder = make_state_dir(settings) / RUNS / secrets.token_hex(16)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror}") from error
    with run_lock(folder, new=True):
        run = Outbox(settings, Journal(folder), Deadline(should_stop=should_stop), linger=linger)
        try:
            prepare_folder(folder)
            run.begin(model=model, name=name, tags=tags)
        except BaseException:
            run.close()
            shutil.rmtree(run.folder, ignore_errors=True)
            raise
        with _closed(run, keep=keep):
            yield run


@contextlib.contextmanager
def reopen_run(
    settings: StoreSettings,
    folder: Path,
    *,
    tags: Mapping[str, str],
    should_stop: Callable[[], bool] = lambda: False,
    keep: bool = False,
) -> Iterator[Outbox]:
    """Open a run again whose folder is still there, with new tags, and close it as `open_run` does.

    The caller has locked the folder (see `journal.run_lock`) since before it read anything in it.

    Raises:
        RunError: The journal is damaged.
        StoreError: The store cannot be used.
    """
    check_settings(settings, create=True)
    run = Outbox(settings, Journal(folder), Deadline(should_stop=should_stop))
    with _closed(run, keep=keep):
        run.resume(tags)
        yield run


@contextlib.contextmanager
def _closed(run: Outbox, *, keep: bool) -> Iterator[None]:
    try:
        yield
        if run.journal.status == "RUNNING":
            run.emit(events.RunEnded(status="FINISHED"))
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if killed else f"{type(error).__name__}: {error}"
        if run.journal.status == "RUNNING":
            with contextlib.suppress(StorageError):  # the original error matters more
                run.emit(events.RunEnded(status="KILLED" if killed else "FAILED", reason=reason))
        run.close()
        raise
    run.close()
    if not keep:
        done = run.folder / CHECKPOINTS if run.journal.unsent else run.folder
        shutil.rmtree(done, ignore_errors=True)
