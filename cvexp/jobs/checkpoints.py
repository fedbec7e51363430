"""When a training's state is put on the disk, where, and how many of them stay."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cvexp.errors import ConfigError, StorageError, WeightsError
from cvexp.results import ClassMetrics, EpochMetrics, EpochTiming, Evaluation, SplitMetrics
from cvexp.settings import CHECKPOINTS

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future, ThreadPoolExecutor
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

KEPT_WHILE_TRAINING = 2
"""The newest, and the one before it in case the newest is damaged."""

_NAME = re.compile(r"epoch-(?P<epoch>\d+)-step-(?P<step>\d+)-[0-9a-f]{64}\.pt")


@dataclass(frozen=True, kw_only=True, slots=True)
class Keeping:
    """What the user asked for.

    Attributes:
        every: Epochs from one checkpoint to the next; 0 for none but at an interrupt.
        minutes: Of training within an epoch from one checkpoint to the next; 0 for none.
        keep: How many stay, also after the run has ended; None for two, and none after it.

    Raises:
        ConfigError: A value is out of range.
    """

    every: int = 1
    minutes: float = 10.0
    keep: int | None = None

    def __post_init__(self) -> None:
        for flag, value, least in (
            ("--checkpoint-every", self.every, 0),
            ("--checkpoint-minutes", self.minutes, 0),
            ("--keep", self.keep, 1),
        ):
            if value is not None and not least <= value < float("inf"):
                raise ConfigError(f"{flag} {value:g}: at least {least}", "see: cvexp train --help")


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A training's state, and the history before it."""

    fit: dict[str, Any]
    history: tuple[EpochMetrics, ...]
    seconds: float
    """Of the whole command, summed over the processes that trained."""
    file: Path | None = None
    """Where it was read from."""


class Checkpoints:
    """The checkpoints of one run, each a file that carries its own SHA-256 in its name.

    The history of each begins with the history of the one written before it.

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
        self._history: list[dict[str, Any]] = []  # as the checkpoint before this one had it

    @cached_property
    def _writer(self) -> ThreadPoolExecutor:
        from concurrent.futures import ThreadPoolExecutor

        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="cvexp-checkpoint")

    def ready(self) -> None:
        """Start the thread that writes, so that the first checkpoint does not hold training up for it."""
        self._writer.submit(int).result()

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
        self._history += map(_plain, checkpoint.history[len(self._history) :])
        state = {
            "fit": fit,
            "history": self._history,
            "seconds": checkpoint.seconds,
        }
        stem = f"epoch-{fit['epoch']:05d}-step-{fit['step']:08d}"
        self._before()
        try:
            self._folder.mkdir(exist_ok=True)
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
                return Checkpoint(
                    fit=state["fit"],
                    history=tuple(_epoch(one) for one in state["history"]),
                    seconds=state["seconds"],
                    file=file,
                )
            except WeightsError as error:
                damage = damage or error
            except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
                what = f"no checkpoint of this version of cvexp: {file} ({error})"
                damage = damage or WeightsError(what, "start a new run")
        if damage is not None:
            raise damage
        return None

    def _files(self) -> list[Path]:
        """The newest first."""
        if not self._folder.is_dir():
            return []
        found = [(match, file) for file in self._folder.iterdir() if (match := _NAME.fullmatch(file.name))]
        found.sort(key=lambda pair: (int(pair[0]["epoch"]), int(pair[0]["step"])), reverse=True)
        return [file for _, file in found]


def _plain(epoch: EpochMetrics) -> dict[str, Any]:
    """An epoch's figures as plain values and tensors."""
    import torch

    plain = asdict(epoch)
    plain["step_losses"] = torch.from_numpy(epoch.step_losses.copy())
    plain["held_out"]["confusion"] = torch.from_numpy(epoch.held_out.confusion.copy())
    plain["held_out"]["predictions"] = torch.from_numpy(_narrowed(epoch.held_out.predictions))
    return plain


def _epoch(plain: dict[str, Any]) -> EpochMetrics:
    """What `_plain` took apart."""
    held_out = plain["held_out"]
    evaluation = Evaluation(
        metrics=SplitMetrics(**held_out["metrics"]),
        per_class=tuple(ClassMetrics(**one) for one in held_out["per_class"]),
        confusion=held_out["confusion"].numpy(),
        predictions=held_out["predictions"].numpy().astype("int64"),
    )
    rest = {f.name: plain[f.name] for f in fields(EpochMetrics)}
    rest |= {
        "train": SplitMetrics(**plain["train"]),
        "step_losses": plain["step_losses"].numpy(),
        "held_out": evaluation,
        "timing": EpochTiming(**plain["timing"]),
    }
    return EpochMetrics(**rest)


def _narrowed(predictions: npt.NDArray[np.int64]) -> npt.NDArray[np.integer[Any]]:
    """Class indices in a byte each where that holds them: every epoch's are kept."""
    largest = int(predictions.max(initial=0))
    return predictions.astype("uint8" if largest < 2**8 else "int32")
