"""When a training's state is put on the disk, where, and how many of them stay."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cvexp.errors import StorageError, WeightsError
from cvexp.settings import CHECKPOINTS
from cvexp.training.history import HistoryFile, HistoryMark, epoch_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    from cvexp.results import EpochMetrics

KEPT_WHILE_TRAINING = 2
"""The newest, and the one before it in case the newest is damaged."""

HISTORY = "history.bin"
"""Its name beside the checkpoints."""

_NAME = re.compile(r"epoch-(?P<epoch>\d+)-step-(?P<step>\d+)-[0-9a-f]{64}\.pt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A training's state, and the history before it.

    Attributes:
        fit: See `Fit.state`.
        history: The epochs before it.
        seconds: Of the whole command, summed over the processes that trained.
        file: Where it was read from.
        mark: How far the history file was its own, where it was read from one.
    """

    fit: dict[str, Any]
    history: tuple[EpochMetrics, ...]
    seconds: float
    file: Path | None = None
    mark: HistoryMark = field(default_factory=HistoryMark)


class Checkpoints:
    """The checkpoints of one run, each a file that carries its own SHA-256 in its name.

    The figures of an epoch are written once, to a file beside them that grows; each checkpoint says how far that file
    is its history, and what digest it has up to there. So a checkpoint costs the same however many epochs there were,
    and an older one stays whole when the file has grown beyond it.

    Args:
        run_folder: The run's folder for local state.
        keep: How many stay.
        before: Called, in the thread that writes, before each is written.
    """

    def __init__(self, run_folder: Path, keep: int | None, *, before: Callable[[], None] = lambda: None) -> None:
        self._folder = run_folder / CHECKPOINTS
        self._keep = keep or KEPT_WHILE_TRAINING
        self._before = before
        self._under_way: Future[None] | None = None
        self._history = HistoryFile(self._folder / HISTORY)

    @cached_property
    def _writer(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="cvexp-checkpoint")

    def ready(self) -> None:
        """Start the thread that writes, so that the first checkpoint does not hold training up for it."""
        self._writer.submit(int).result()

    def go_on_from(self, checkpoint: Checkpoint) -> None:
        """Let the next checkpoint follow `checkpoint`, which `newest` gave.

        Raises:
            WeightsError: The history was damaged since.
        """
        self._history.go_on_from(checkpoint.mark)

    def begin(self, checkpoint: Checkpoint) -> None:
        """Write one while training goes on; whether the one before could be written is known now.

        Raises:
            StorageError: It could not; the older ones are still there.
        """
        self.finish()
        self._under_way = self._writer.submit(self.save, checkpoint)

    def finish(self) -> None:
        """Wait until what was begun is on the disk.

        Raises:
            StorageError: It could not be written.
        """
        under_way, self._under_way = self._under_way, None
        if under_way is not None:
            under_way.result()

    def save(self, checkpoint: Checkpoint) -> None:
        """Write one, then remove what is older than those to be kept.

        Raises:
            StorageError: The disk takes no more; the older ones are still there.
        """
        from cvexp.checkpoint import save_named

        fit = checkpoint.fit
        stem = f"epoch-{fit['epoch']:05d}-step-{fit['step']:08d}"
        self._before()
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

    def newest(self) -> Checkpoint | None:
        """The newest one that is whole; None where there is none at all.

        Raises:
            WeightsError: There are some, and every one is damaged.
        """
        from cvexp.checkpoint import load

        damage: WeightsError | None = None
        for file in self._files():
            try:
                state = load(file, sha256=file.stem.rpartition("-")[2])
                history, mark = self._history_of(state)
                return Checkpoint(fit=state["fit"], history=history, seconds=state["seconds"], file=file, mark=mark)
            except WeightsError as error:
                damage = damage or error
            except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
                what = f"no checkpoint of this version of cvexp: {file} ({error})"
                damage = damage or WeightsError(what, "start a new run")
        if damage is not None:
            raise damage
        return None

    def _history_of(self, state: dict[str, Any]) -> tuple[tuple[EpochMetrics, ...], HistoryMark]:
        """The epochs before a checkpoint, and how far they stand in the history file."""
        stored = state["history"]
        if isinstance(stored, list):  # as in checkpoints from before there was a history file
            return tuple(epoch_of(one) for one in stored), HistoryMark()
        mark = HistoryMark(**stored)
        return self._history.read(mark), mark

    def _files(self) -> list[Path]:
        """The newest first."""
        if not self._folder.is_dir():
            return []
        found = [(match, file) for file in self._folder.iterdir() if (match := _NAME.fullmatch(file.name))]
        found.sort(key=lambda pair: (int(pair[0]["epoch"]), int(pair[0]["step"])), reverse=True)
        return [file for _, file in found]
