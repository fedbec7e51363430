"""Write one run: what it was asked, what it measured, what it left behind, and how it ended.

Everything goes to the run's journal first, and from there to the tracking store; see journal and sender.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import shutil
import time
from typing import TYPE_CHECKING

from cvexp.errors import StorageError, StoreError
from cvexp.redaction import without_credentials
from cvexp.runs import NAME_DIGITS
from cvexp.settings import CHECKPOINTS, RUNS
from cvexp.tracking.address import address_of
from cvexp.tracking.delivery import Delivery
from cvexp.tracking.journal import Journal, held
from cvexp.tracking.sender import Patience, Sender
from cvexp.tracking.store import check_settings, make_state_dir

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from cvexp.settings import StoreSettings

FAILURES_AT_THE_END = 4
"""Deliveries that may fail one after another before a run that has ended is left to `cvexp sync`."""


class Run:
    """A run that is being written. All of its calls are timed, so that no training figure contains them.

    Attributes:
        name: The model's name and the first digits of the id, unless the user named the run.
        artifacts_uri: Where its artifacts go; empty while the store has not answered.
        experiment_id: Likewise.
        seconds: Spent so far on writing to the journal and waiting for the store.
    """

    def __init__(self, settings: StoreSettings, journal: Journal, patience: Patience) -> None:
        self._settings, self._journal = settings, journal
        self._sender = Sender(journal, Delivery(settings, journal), patience)
        self._clock = time.time
        self.seconds = 0.0

    @property
    def run_id(self) -> str:
        """32 hexadecimal digits; MLflow's, or one of our own while the store has not answered."""
        return self._journal.run_id

    @property
    def folder(self) -> Path:
        """The run's folder for local state; what `log_folder` and `log_model` name lies in it."""
        return self._journal.folder

    @property
    def name(self) -> str:
        """As the store calls it, or will."""
        return self._journal.name or f"{self._journal.opening['model']}-{self.run_id[:NAME_DIGITS]}"

    @property
    def artifacts_uri(self) -> str:
        """Where its artifacts go."""
        return self._journal.facts.get("artifacts_uri", "")

    @property
    def experiment_id(self) -> str:
        """Of the experiment it belongs to."""
        return self._journal.facts.get("experiment_id", "")

    @property
    def undelivered(self) -> int:
        """How many records the store has not been told."""
        return self._journal.unsent

    @property
    def has_ended(self) -> bool:
        """Whether it was closed, and not opened again."""
        return self._journal.status != "RUNNING"

    @property
    def is_known(self) -> bool:
        """Whether the store has answered."""
        return "run_id" in self._journal.facts

    @property
    def trouble(self) -> str:
        """Why, in one line."""
        return self._sender.trouble or "the tracking store does not answer in time"

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds += time.perf_counter() - start

    def begin(self, *, model: str, name: str | None, tags: Mapping[str, str]) -> None:
        """Open the run, and wait for the store's answer as long as patience lasts.

        Raises:
            StoreError: The store will never answer as it should.
        """
        with self._timed():
            local_id = self.folder.name
            body = {"model": model, "name": name, "tags": _cleaned(tags), "local_id": local_id}
            store = address_of(self._settings, state_dir=self._settings.state_dir)
            self._append("run", "run", {**body, "store": store, "experiment": self._settings.experiment})
            self._sender.start()
            if self._sender.settle(failures=1):
                self._journal.move(self.folder.with_name(self.run_id))
            elif name is None:
                self._append("name", "name", {"name": f"{model}-{local_id[:NAME_DIGITS]}"})

    def go_on(self, tags: Mapping[str, str]) -> None:
        """Open a run again that was begun by a process that is gone.

        Raises:
            StoreError: The store will never answer as it should.
        """
        with self._timed():
            self._append("again", f"again {self._journal.count('again')}", {})
            self._append_tags(tags)
            self._sender.start()
            if self._sender.settle(failures=1) and self.folder.name != self.run_id:
                self._journal.move(self.folder.with_name(self.run_id))

    def flush(self) -> None:
        """Wait until the disk has everything recorded so far. May be called in any thread.

        Raises:
            StorageError: It does not take it.
        """
        self._journal.flush()

    def settle(self) -> None:
        """Wait until the store knows everything, or patience ends."""
        with self._timed():
            self._sender.settle()

    def log_params(self, params: Mapping[str, str]) -> None:
        """Record what the run was asked to do; once in a run's life."""
        self._tell("params", "params", params)

    def log_metrics(self, metrics: Mapping[str, float], *, step: int, final: bool = False) -> None:
        """Record figures at one step, unless they were recorded by a process before this one.

        Args:
            metrics: Values by metric key.
            step: The epoch, counted from 1.
            final: Whether they are the trained model's, and so belong to the logged model too.
        """
        key = f"metrics {step} {' '.join(sorted(metrics))}"
        self._tell("metrics", key, {"values": dict(metrics), "step": step, "final": final})

    def log_series(self, key: str, values: Mapping[int, float]) -> None:
        """Record many steps' values of one metric.

        Args:
            key: The metric's.
            values: By step.
        """
        if values:
            self._tell("series", f"series {key} {min(values)}", {"key": key, "points": sorted(values.items())})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record facts about the run; credentials in URIs are left out."""
        with self._timed():
            self._append_tags(tags)

    def log_dataset(self, *, name: str, digest: str, place: str, profile: str, context: str) -> None:
        """Tie a dataset to the run.

        Args:
            name: The dataset's.
            digest: Of its content.
            place: Where it was found.
            profile: JSON with counts and shapes.
            context: What the run did with it, such as `training`.
        """
        body = {"name": name, "digest": digest, "profile": profile, "context": context}
        self._tell("dataset", "dataset", {**body, "source": json.dumps({"place": place})})

    def log_folder(self, folder: Path, name: str | None = None) -> None:
        """Store everything in `folder`, which lies in the run's, among its artifacts, under `name` if one is given."""
        where = folder.relative_to(self.folder)
        self._tell("artifacts", self._of_this_end(f"artifacts {name}"), {"folder": str(where), "name": name})

    def begin_model(self, params: Mapping[str, str]) -> None:
        """Announce the model that this run will log, so that its figures can belong to it too."""
        attempt = str(self._journal.count("end"))
        self._tell("begin_model", self._of_this_end("begin_model"), {"params": dict(params), "attempt": attempt})

    def log_model(self, weights: Path, *, image_shape: tuple[int, ...], n_classes: int) -> None:
        """Store the weights in `weights`, a folder in the run's, as the MLflow model that `begin_model` announced."""
        where = str(weights.relative_to(self.folder))
        body = {"weights": where, "image_shape": list(image_shape), "n_classes": n_classes}
        self._tell("model", self._of_this_end("model"), body)

    def end(
        self, status: str, reason: str = "", *, metrics: Mapping[str, float] | None = None, markdown: str = ""
    ) -> None:
        """Close the run, and with it a model that never came. It is one record, so that none of it is told without all.

        Args:
            status: FINISHED, FAILED or KILLED.
            reason: Why, where it is not FINISHED.
            metrics: Figures of the whole run; they stand at step 0, and are the logged model's too.
            markdown: The description that the pages of the run and of its model show.
        """
        body = {"status": status, "reason": without_credentials(reason)}
        with self._timed():
            self._append(
                "end", self._of_this_end("end"), {**body, "metrics": dict(metrics or {}), "markdown": markdown}
            )
            self.flush()

    def leave(self) -> None:
        """Wait for the store while it takes what is left, or patience lasts, and deliver nothing after that."""
        with self._timed(), contextlib.suppress(StoreError):
            self._sender.settle(failures=FAILURES_AT_THE_END)
        self._sender.stop()

    def _of_this_end(self, key: str) -> str:
        """A key for what is recorded once each time the run ends."""
        return f"{key} #{self._journal.count('end')}"

    def _tell(self, kind: str, key: str, body: Mapping[str, object]) -> None:
        with self._timed():
            self._append(kind, key, body)

    def _append_tags(self, tags: Mapping[str, str]) -> None:
        self._append("tags", f"tags {len(self._journal.records)}", _cleaned(tags))

    def _append(self, kind: str, key: str, body: Mapping[str, object]) -> None:
        self._journal.append(kind, key, body, at=int(self._clock() * 1000))
        self._sender.notify()


def _cleaned(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: without_credentials(value) for key, value in tags.items()}


@contextlib.contextmanager
def open_run(
    settings: StoreSettings,
    *,
    model: str,
    name: str | None,
    tags: Mapping[str, str],
    furnish: Callable[[Path], None] | None = None,
    hurried: Callable[[], bool] = lambda: False,
    keep: bool = False,
) -> Iterator[Run]:
    """Open a run, and close it however the block is left.

    Leaving normally makes it FINISHED; an exception FAILED, with the reason as a tag; an interrupt KILLED. The run's
    folder goes when it is FINISHED and the store knows everything.

    Args:
        settings: Where to track it.
        model: Names the run, together with the first digits of its id.
        name: Names the run instead.
        tags: Known before it starts.
        furnish: Given the run's folder before anyone hears of the run.
        hurried: Says whether someone wants to leave, so that the store is not waited for long.
        keep: Whether the folder stays.

    Raises:
        StoreError: The store cannot be used; nothing is left behind.
    """
    check_settings(settings, create=True)
    folder = make_state_dir(settings) / RUNS / secrets.token_hex(16)
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise StorageError(f"cannot make {folder}: {error.strerror}") from error
    with held(folder, new=True):
        run = Run(settings, Journal(folder), Patience(hurried=hurried))
        try:
            if furnish is not None:
                furnish(folder)
            run.begin(model=model, name=name, tags=tags)
        except BaseException:
            run.leave()
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
    hurried: Callable[[], bool] = lambda: False,
    keep: bool = False,
) -> Iterator[Run]:
    """Open a run again whose folder is still there, and close it as `open_run` does.

    Args:
        settings: Where it is tracked.
        folder: The run's, which the caller holds (see `journal.held`) since before it read anything in it.
        tags: To be set anew.
        hurried: As for `open_run`.
        keep: Whether the folder stays.

    Raises:
        RunError: The journal is damaged.
        StoreError: The store cannot be used.
    """
    check_settings(settings, create=True)
    run = Run(settings, Journal(folder), Patience(hurried=hurried))
    with _closed(run, keep=keep):
        run.go_on(tags)
        yield run


@contextlib.contextmanager
def _closed(run: Run, *, keep: bool) -> Iterator[None]:
    try:
        yield
        if not run.has_ended:
            run.end("FINISHED")
    except BaseException as error:
        killed = isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if killed else f"{type(error).__name__}: {error}"
        if not run.has_ended:
            with contextlib.suppress(StorageError):  # the original error matters more
                run.end("KILLED" if killed else "FAILED", reason)
        run.leave()
        raise
    run.leave()
    if not keep:
        done = run.folder / CHECKPOINTS if run.undelivered else run.folder
        shutil.rmtree(done, ignore_errors=True)
