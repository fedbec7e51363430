"""The history file: a run's epochs, each appended once. A checkpoint stores which part of the file is its own."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from cvexp import files
from cvexp.errors import WeightsError
from cvexp.results import ClassMetrics, EpochMetrics, EpochTiming, Evaluation, SplitMetrics

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_LENGTH_BYTES = 8
"""Before each record: its length, big-endian."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryMark:
    """The first part of a history file: the epochs it holds, its length in bytes, and the SHA-256 of those bytes."""

    epochs: int = 0
    bytes: int = 0
    sha256: str = hashlib.sha256().hexdigest()


class HistoryFile:
    """Records of epochs, one after the other, in a folder that exists when something is appended.

    What follows the last mark was left by a killed process, and is ignored.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._mark = HistoryMark()
        self._digest = hashlib.sha256()

    def resume_from(self, mark: HistoryMark) -> None:
        """Append after `mark` from now on; WeightsError if the file does not begin with what was marked."""
        self._digest = hashlib.sha256(self._read(mark))
        self._mark = mark

    def append(self, history: Sequence[EpochMetrics]) -> HistoryMark:
        """Write those of all epochs that the file does not hold yet, flush them to the disk, and return their mark."""
        from cvexp.checkpoint import serialised

        new = history[self._mark.epochs :]
        if not new:
            return self._mark
        record = serialised({"epochs": [plain_epoch(epoch) for epoch in new]})
        content = len(record).to_bytes(_LENGTH_BYTES) + record
        files.write_at(self._path, content, offset=self._mark.bytes)
        self._digest.update(content)
        n_bytes = self._mark.bytes + len(content)
        self._mark = HistoryMark(epochs=len(history), bytes=n_bytes, sha256=self._digest.hexdigest())
        return self._mark

    def read(self, mark: HistoryMark) -> tuple[EpochMetrics, ...]:
        """The epochs up to `mark`; WeightsError if the file is missing or damaged before it."""
        from cvexp.checkpoint import parsed

        content = self._read(mark)
        found: list[EpochMetrics] = []
        position = 0
        while position < len(content):
            start = position + _LENGTH_BYTES
            position = start + int.from_bytes(content[start - _LENGTH_BYTES : start])
            found += map(epoch_of, parsed(content[start:position], source=self._path)["epochs"])
        if len(found) != mark.epochs:
            raise self._damaged()
        return tuple(found)

    def _read(self, mark: HistoryMark) -> bytes:
        content = b""
        if mark.bytes:
            try:
                with self._path.open("rb") as stream:
                    content = stream.read(min(mark.bytes, self._path.stat().st_size))
            except OSError as error:
                raise WeightsError(f"cannot read {self._path}: {error.strerror or error}", "start a new run") from error
        if len(content) != mark.bytes or hashlib.sha256(content).hexdigest() != mark.sha256:
            raise self._damaged()
        return content

    def _damaged(self) -> WeightsError:
        return WeightsError(f"damaged or altered history: {self._path}", "start a new run")


def plain_epoch(epoch: EpochMetrics) -> dict[str, Any]:
    """An epoch's figures as plain values and tensors."""
    import torch

    plain = asdict(epoch)
    plain["step_losses"] = torch.from_numpy(epoch.step_losses.copy())
    plain["held_out"]["confusion"] = torch.from_numpy(epoch.held_out.confusion.copy())
    predictions = epoch.held_out.predictions
    narrow = "uint8" if predictions.max(initial=0) < 2**8 else "int32"
    plain["held_out"]["predictions"] = torch.from_numpy(predictions.astype(narrow))
    return plain


def epoch_of(plain: dict[str, Any]) -> EpochMetrics:
    """The inverse of `plain_epoch`."""
    held_out = plain["held_out"]
    evaluation = Evaluation(
        metrics=SplitMetrics(**held_out["metrics"]),
        per_class=tuple(ClassMetrics(**one) for one in held_out["per_class"]),
        confusion=held_out["confusion"].numpy(),
        predictions=held_out["predictions"].numpy().astype("int64"),
    )
    return EpochMetrics(
        epoch=plain["epoch"],
        train=SplitMetrics(**plain["train"]),
        step_losses=plain["step_losses"].numpy(),
        held_out=evaluation,
        held_out_name=plain["held_out_name"],
        timing=EpochTiming(**plain["timing"]),
        lr=plain.get("lr"),  # early versions had one rate
    )
