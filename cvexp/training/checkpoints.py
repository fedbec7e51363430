"""Checkpoints of a training: when one is due, where it is written, and how many stay."""

from __future__ import annotations

import re
import time
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cvexp.errors import StorageError, WeightsError
from cvexp.events import EpochEnded, StepsRun
from cvexp.settings import CHECKPOINTS
from cvexp.training.history import HistoryFile, HistoryMark

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.events import Observed
    from cvexp.results import EpochMetrics
    from cvexp.tracking.journal import Journal
    from cvexp.training.shared import Sharing

KEPT_WHILE_TRAINING = 2
"""The newest, and the one before it in case the newest is damaged."""

NAME = re.compile(r"epoch-(?P<epoch>\d+)-step-(?P<step>\d+)-[0-9a-f]{64}\.pt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A training's state, and the history before it.

    Attributes:
        fit: See `Fit.state`.
        seconds: Of the whole command, summed over the processes that trained.
        file: Where it was read from, with the part of the history file up to `mark`, if it has one.
    """

    fit: dict[str, Any]
    history: tuple[EpochMetrics, ...]
    seconds: float
    file: Path | str | None = None
    mark: HistoryMark = field(default_factory=HistoryMark)


def checkpoints_of(journal: Journal, policy: CheckpointPolicy) -> Checkpoints:
    """Those of a journal's run, each written after the records before it, and shared where the policy says so."""
    from cvexp.training.shared import sharing_of

    sharing = sharing_of(policy, run=journal.start.local_id, run_folder=journal.folder)
    return Checkpoints(journal.folder, policy.keep, before_write=journal.flush, sharing=sharing)


class CheckpointSchedule:
    """A subscriber to a training's events that answers whether the policy has a checkpoint due now."""

    def __init__(self, policy: CheckpointPolicy) -> None:
        self._policy = policy
        self._saved_at = time.monotonic()

    def __call__(self, event: Observed) -> bool:
        """Whether a checkpoint is due after `event`."""
        match event:
            case EpochEnded():
                every = self._policy.every
                return bool(every) and (event.last or event.metrics.epoch % every == 0)
            case StepsRun():
                minutes = self._policy.minutes
                return bool(minutes) and time.monotonic() - self._saved_at >= 60 * minutes
            case _:
                self._saved_at = time.monotonic()
                return False


class Checkpoints:
    """The checkpoints of one run, each a file that carries its own SHA-256 in its name; `keep` of them stay.

    An epoch's figures are appended once to a history file beside them; each checkpoint stores the length and the
    digest of its part of that file. So a checkpoint writes as many bytes after any number of epochs, and an older one
    stays valid when the file has grown. `before_write` is called before each is written, in the thread that writes.
    With `sharing`, each is copied to where other machines reach it, once it is written here.
    """

    def __init__(
        self,
        run_folder: Path,
        keep: int | None,
        *,
        before_write: Callable[[], None] = lambda: None,
        sharing: Sharing | None = None,
    ) -> None:
        self._folder = run_folder / CHECKPOINTS
        self._keep = keep or KEPT_WHILE_TRAINING
        self._before_write, self._sharing = before_write, sharing
        self._pending: Future[None] | None = None
        self._history = HistoryFile(self._folder / "history.bin")

    @cached_property
    def _writer(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="cvexp-checkpoint")

    def start_thread(self) -> None:
        """Start the thread that writes, so that training does not wait for it at the first checkpoint."""
        self._writer.submit(int).result()

    def resume_from(self, checkpoint: Checkpoint) -> None:
        """Let the next one follow `checkpoint`, which `newest` returned; WeightsError if its history is damaged."""
        self._history.resume_from(checkpoint.mark)

    def begin(self, checkpoint: Checkpoint) -> None:
        """Write one in the background, once the one before is written; StorageError if that one could not be."""
        self._wait()
        self._pending = self._writer.submit(self.save, checkpoint)

    def finish(self) -> None:
        """Wait until the one begun last is on the disk, and for its copy; StorageError if it could not be written."""
        self._wait()
        if self._sharing is not None:
            self._sharing.finish()

    def _wait(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    @property
    def not_shared(self) -> str:
        """Why the copy of the last one is not where other machines reach it; empty where it is, or none is made."""
        return "" if self._sharing is None else self._sharing.failure

    def remove_copies(self) -> None:
        """Remove the copies of a run that has finished, unless checkpoints are to stay."""
        if self._sharing is not None:
            self._sharing.remove()

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one atomically, then remove the oldest beyond those that stay.

        Raises:
            StorageError: The disk is full, or cannot be written; the older ones are still there.
        """
        from cvexp.checkpoint import save_named

        fit = checkpoint.fit
        stem = f"epoch-{fit['epoch']:05d}-step-{fit['step']:08d}"
        self._before_write()
        try:
            self._folder.mkdir(exist_ok=True)
            mark = self._history.append(checkpoint.history)
            state = {"fit": fit, "history": asdict(mark), "seconds": checkpoint.seconds}
            written = save_named(self._folder, stem, state)
            for old in self._files()[self._keep :]:
                if old != written:
                    old.unlink()
        except OSError as error:
            raise StorageError(
                f"cannot write a checkpoint to {self._folder}: {error.strerror or error}",
                "make room there; the checkpoint before it is kept",
            ) from error
        if self._sharing is not None:
            self._sharing.copy(checkpoint)

    def newest(self) -> Checkpoint | None:
        """The newest valid one; None where there is none at all, and WeightsError where every one is damaged."""
        from cvexp.checkpoint import load

        damage: WeightsError | None = None
        for file in self._files():
            try:
                state = load(file, sha256=file.stem.rpartition("-")[2])
                mark = HistoryMark(**state["history"])
                history = self._history.read(mark)
                return Checkpoint(fit=state["fit"], history=history, seconds=state["seconds"], file=file, mark=mark)
            except WeightsError as error:
                damage = damage or error
            except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
                what = f"not a checkpoint of this version of cvexp: {file} ({error})"
                damage = damage or WeightsError(what, "start a new run")
        if damage is not None:
            raise damage
        return None

    def _files(self) -> list[Path]:
        if not self._folder.is_dir():
            return []
        found = [(match, file) for file in self._folder.iterdir() if (match := NAME.fullmatch(file.name))]
        found.sort(key=lambda pair: (int(pair[0]["epoch"]), int(pair[0]["step"])), reverse=True)
        return [file for _, file in found]
