"""The torch.export format: the program that torch traced, with preprocessing inside."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

from cvexp import checkpoint
from cvexp.errors import ConfigError, DeviceError, WeightsError
from cvexp.export.formats import DEFAULTS

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from cvexp.export.formats import ExportOptions, Variant
    from cvexp.inference.predictor import Predictor
    from cvexp.models.spec import ModelSpec


class TorchExportExporter:
    """Writes what `torch.export.load` reads, without what only a debugger reads; reads what it wrote itself alone."""

    variants: tuple[Variant, ...] = ("raw",)

    def write(self, path: Path, model: nn.Module, spec: ModelSpec, *, options: ExportOptions = DEFAULTS) -> str:
        """See `Exporter.write`."""
        import torch

        from cvexp.export.program import captured, metadata, quiet, refused
        from cvexp.export.torch_archive import METADATA, checked

        if options.calibration is not None:
            raise ConfigError("--quantize means nothing for .pt2", "int8 is written by: --format onnx")
        program, buffer = captured(model, spec, raw=options.raw), io.BytesIO()
        strip(program)
        try:
            with quiet():
                extra = {METADATA: json.dumps(metadata(spec, options), ensure_ascii=False)}
                torch.export.save(program, buffer, extra_files=extra)
        except Exception as error:  # a model may be any code
            raise refused(spec, error) from error
        try:
            checked(buffer.getvalue(), spec.model)
        except WeightsError as error:
            raise refused(spec, error) from error
        return checkpoint.write(path, buffer.getvalue())

    def read(
        self,
        path: Path,
        spec: ModelSpec,
        *,
        device: torch.device,
        trusted_factory: str | None = None,  # noqa: ARG002 - the file holds the program itself
    ) -> Predictor:
        """See `Exporter.read`; `torch_archive` says why no code of the file runs."""
        import torch

        from cvexp.export.program import quiet
        from cvexp.export.torch_archive import REMEDY, checked
        from cvexp.inference.program_predictor import ProgramPredictor

        if device.type != "cpu":
            raise DeviceError(f"{path} was traced for the CPU, and does not run on {device}", "add: --device cpu")
        content, signature = checked(checkpoint.read_verified(path, sha256=spec.weights_sha256), str(path))
        signature.check(spec, path, REMEDY)
        try:
            with quiet():
                program = torch.export.load(io.BytesIO(content)).module(check_guards=False)
            predictor = ProgramPredictor(program, signature, transform=spec.transform)
            answer = predictor.logits(torch.zeros(1, *spec.image_shape, dtype=torch.uint8))
        except Exception as error:  # the program may be anything of those operators
            raise WeightsError(f"{path} holds a program that torch {torch.__version__} cannot run", REMEDY) from error
        if answer.shape != (1, signature.n_classes):
            raise WeightsError(f"{path} answers other logits than it says", REMEDY)
        return predictor


def strip(program: torch.export.ExportedProgram) -> None:
    """Remove the example batch, and what tells of the code that a node comes from, such as the paths of its files."""
    program._example_inputs = None  # noqa: SLF001 - torch has no other way to leave it out
    program._guards_code = []  # noqa: SLF001 - Python text, which a reader would have to execute
    for node in program.graph.nodes:
        for name in set(node.meta) - {"val"}:
            del node.meta[name]
    root = [entry for entry in program.module_call_graph if not entry.fqn]
    program._module_call_graph[:] = root  # noqa: SLF001 - those of submodules only serve to unflatten


EXPORTER = TorchExportExporter()
