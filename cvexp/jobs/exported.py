"""What an export gives: its files, and how each of them compares with the run's own model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.errors import GateError

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.inference.latency.times import ModelTimes
    from cvexp.jobs.export_plan import LeftOut


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportedFile:
    """A file, and how what is in it compares with the run's own model on the test split.

    Attributes:
        format: A key of `cvexp.runs.EXPORT_SUFFIXES`.
        kind: Its format and variant, as in metric keys: `onnx`, `onnx-int8`, `onnx-raw`.
        path: Where it is; None where it was not kept.
        card: What it takes to use it, beside it.
        identical: Whether all logits are equal bit for bit.
        max_logit_difference: The largest; infinite where one of the two is not a number and the other is.
        top1_agreement: The share of images that get the same class, ties included, in [0, 1].
        n_ties: Images whose two classes the model's logits do not tell apart within float32 rounding.
        accuracy_difference: The file's less the model's, in [-1, 1], with its paired 95% interval.
        latency: Of one image on one thread; None where it was not timed, as `load_ms` and `peak_bytes`.
        load_ms: Until it is ready to predict, its runtime imported.
        peak_bytes: The most memory of a new process that loads it and predicts, all it imports included.
        passed: Whether it is within the tolerance.
        kept: Whether it is there to be shipped.
        reason: Why not, in words.
    """

    format: str
    kind: str
    path: Path | None
    card: Path | None
    n_bytes: int
    sha256: str
    identical: bool
    max_logit_difference: float
    top1_agreement: float
    n_ties: int
    accuracy: float
    accuracy_difference: float
    accuracy_interval: tuple[float, float]
    passed: bool
    kept: bool
    reason: str = ""
    latency: ModelTimes | None = None
    load_ms: float | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExportResult:
    """The files of an export.

    Attributes:
        accuracy: Of the run's own model on `n_images` test images, which every file was run over.
        files: Those that were written and proven, also where they were not kept.
        left_out: Kinds of files that cannot be written or run here, each with the reason.
        own_latency: Of the run's own model, timed in the same rounds; None where nothing was timed.
        threads: CPU threads for one operation while files were timed.
        busy: Whether timing waited for cores that others had.
        n_calibration: Training images that int8 ranges were measured on.
        logged: Whether the run has the figures now.
        trouble: Why it does not, though it should.
        note: What to know about how run and paths were chosen.
    """

    run_id: str
    name: str
    dataset: str
    accuracy: float
    n_images: int
    files: tuple[ExportedFile, ...]
    left_out: tuple[LeftOut, ...]
    device: str
    device_name: str
    threads: int
    measured_at: str
    own_latency: ModelTimes | None = None
    busy: bool = False
    n_calibration: int = 0
    logged: bool = False
    trouble: str = ""
    note: str | None = None

    def check(self) -> None:
        """Raise GateError, which names them, where files did not pass."""
        failed = [one for one in self.files if not one.passed]
        if failed:
            first, more = failed[0], f"; {len(failed) - 1} more failed" if len(failed) > 1 else ""
            raise GateError(
                f"{first.kind} does not give what {self.name} gives: {first.reason}{more}",
                f"not to be shipped, and kept for a look as {first.path}",
            )
