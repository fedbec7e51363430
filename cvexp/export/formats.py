"""The registry of export formats.

To add one: a module here, named like the format, with an `EXPORTER`, and a line in `cvexp.runs.EXPORT_SUFFIXES`.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Literal, Protocol, cast

from cvexp.errors import ConfigError, DeviceError, nearest
from cvexp.runs import EXPORT_SUFFIXES

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    import torch
    from torch import Tensor, nn

    from cvexp.inference.predictor import Predictor
    from cvexp.models.spec import ModelSpec


Variant = Literal["", "int8", "raw"]
"""How a file differs from the usual one; see ExportOptions."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ExportOptions:
    """How a file is written.

    Attributes:
        raw: Write the network alone: it takes float32 images that `spec.transform` was applied to.
        calibration: Training images, uint8 (N, C, H, W), that the ranges of int8 values are measured on; None writes
            fp32.
        run_id: Of the run, for formats that carry metadata; empty where there is none.
    """

    raw: bool = False
    calibration: Tensor | None = None
    run_id: str = ""


DEFAULTS = ExportOptions()


class Exporter(Protocol):
    """Writes a trained model as one file, and predicts with such a file."""

    @property
    def variants(self) -> Collection[Variant]:
        """The variants that the format has, besides the usual file."""
        ...

    def write(self, path: Path, model: nn.Module, spec: ModelSpec, *, options: ExportOptions = DEFAULTS) -> str:
        """Write `model`, built from `spec`, to `path` atomically, and return the file's SHA-256.

        Raises:
            ConfigError: The format does not have an option, or a library that it needs is not installed.
            ModelError: The model cannot be written in this format.
            OSError: The file cannot be written.
        """
        ...

    def read(
        self, path: Path, spec: ModelSpec, *, device: torch.device, trusted_factory: str | None = None
    ) -> Predictor:
        """A predictor that runs, on `device`, what is in the file; its digest must be the one in `spec`.

        Raises:
            WeightsError: The file is missing, altered, unsafe, or of another format or architecture.
            ModelError: The model cannot be built here.
        """
        ...


def exporter_of(format_name: str) -> Exporter:
    """The exporter of a format; ConfigError suggests the nearest name where there is none."""
    if format_name not in EXPORT_SUFFIXES:
        raise ConfigError(f"unknown export format: {format_name!r}", nearest(format_name, EXPORT_SUFFIXES))
    return cast("Exporter", import_module(f"cvexp.export.{format_name.replace('-', '_')}").EXPORTER)


def check_cpu(device: torch.device, path: Path, *, runtime: str) -> None:
    """Raise DeviceError where a file, whose runtime is here for the CPU alone, is to run elsewhere."""
    if device.type != "cpu":
        raise DeviceError(f"{path} runs in {runtime}, on the CPU, and not on {device}", "add: --device cpu")
