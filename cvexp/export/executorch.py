"""The ExecuTorch format: a program for phones and small devices, preprocessing inside, an image a call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp import checkpoint
from cvexp.errors import ConfigError
from cvexp.export.extras import require
from cvexp.export.formats import DEFAULTS, check_cpu

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from cvexp.export.formats import ExportOptions, Variant
    from cvexp.inference.executorch_predictor import ExecuTorchPredictor
    from cvexp.models.spec import ModelSpec


class ExecuTorchExporter:
    """Lowers a traced program to XNNPACK, in float32. The card beside the file has what other formats hold inside."""

    variants: tuple[Variant, ...] = ("raw",)

    def write(self, path: Path, model: nn.Module, spec: ModelSpec, *, options: ExportOptions = DEFAULTS) -> str:
        """See `Exporter.write`; the file's digest is kept, so that `read` knows it."""
        require("executorch")
        if options.calibration is not None:
            raise ConfigError("--quantize means nothing for .pte", "int8 is written by: --format onnx")
        import hashlib

        from cvexp.export.own_files import remember
        from cvexp.export.program import captured, quiet, refused

        program = captured(model, spec, raw=options.raw, single=True)
        try:
            with quiet():
                content = _lowered(program)
        except Exception as error:  # a model may be any code
            raise refused(spec, error) from error
        remember(hashlib.sha256(content).hexdigest())
        return checkpoint.write(path, content)

    def read(
        self,
        path: Path,
        spec: ModelSpec,
        *,
        device: torch.device,
        trusted_factory: str | None = None,  # noqa: ARG002 - the file holds the program itself
    ) -> ExecuTorchPredictor:
        """See `Exporter.read`; a file that this user did not export is not read."""
        require("executorch")
        from cvexp.export.own_files import check_own
        from cvexp.inference.executorch_predictor import REMEDY, ExecuTorchPredictor

        check_cpu(device, path, runtime="ExecuTorch")
        content = checkpoint.read_verified(path, sha256=spec.weights_sha256)
        check_own(path, sha256=spec.weights_sha256, runtime="ExecuTorch", remedy=REMEDY)
        predictor = ExecuTorchPredictor(content, transform=spec.transform, origin=str(path))
        predictor.signature.check(spec, path, REMEDY)
        return predictor


def _lowered(program: torch.export.ExportedProgram) -> bytes:
    """The content of a `.pte` file: what XNNPACK can compute, and ExecuTorch's own kernels for the rest."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    lowered = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
    content: bytes = lowered.to_executorch().buffer
    return content


EXPORTER = ExecuTorchExporter()
