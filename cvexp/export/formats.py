"""The registry of export formats.

To add one: a module here, named like the format, with an `EXPORTER`, and a line in `cvexp.runs.EXPORT_SUFFIXES`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Protocol, cast

from cvexp.errors import ConfigError, nearest
from cvexp.runs import EXPORT_SUFFIXES

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from cvexp.inference.predictor import Predictor
    from cvexp.models.spec import ModelSpec


class Exporter(Protocol):
    """Writes a trained model as one file, and predicts with such a file."""

    def write(self, path: Path, model: nn.Module, spec: ModelSpec) -> str:
        """Write `model`, built from `spec`, to `path` atomically, and return the file's SHA-256, or raise OSError."""
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
