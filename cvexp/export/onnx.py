"""The ONNX format: preprocessing inside, one file, read by onnxruntime in any language."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cvexp import checkpoint
from cvexp.errors import ModelError, WeightsError
from cvexp.export.formats import DEFAULTS, check_cpu

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import nn

    from cvexp.export.formats import ExportOptions, Variant
    from cvexp.inference.onnx_session import OnnxPredictor
    from cvexp.models.spec import ModelSpec

OPSET = 18
"""The one that torch's exporter writes without converting."""


class OnnxExporter:
    """Writes the input `images` and the outputs `logits` and `probabilities`; of the network alone, `logits`."""

    variants: tuple[Variant, ...] = ("int8", "raw")

    def write(self, path: Path, model: nn.Module, spec: ModelSpec, *, options: ExportOptions = DEFAULTS) -> str:
        """See `Exporter.write`. The same model gives the same bytes, within one version of torch."""
        return checkpoint.write(path, encoded(model, spec, options=options))

    def read(
        self,
        path: Path,
        spec: ModelSpec,
        *,
        device: torch.device,
        trusted_factory: str | None = None,  # noqa: ARG002 - the file holds the program itself
    ) -> OnnxPredictor:
        """See `Exporter.read`; the input's type says whether the file holds the network alone."""
        from cvexp.inference.onnx_file import REMEDY
        from cvexp.inference.onnx_session import OnnxPredictor

        check_cpu(device, path, runtime="onnxruntime")
        content = checkpoint.read_verified(path, sha256=spec.weights_sha256)
        predictor = OnnxPredictor(content, transform=spec.transform, origin=str(path))
        predictor.signature.check(spec, path, REMEDY)
        return predictor


def encoded(model: nn.Module, spec: ModelSpec, *, options: ExportOptions = DEFAULTS) -> bytes:
    """The file's content; raises ModelError where torch's exporter, ONNX or cvexp's own reader refuses the model."""
    import onnx

    from cvexp.export.program import captured, metadata, refused
    from cvexp.inference.onnx_file import MAX_BYTES, checked

    program = captured(model, spec, raw=options.raw)
    try:
        proto = _converted(program, raw=options.raw)
        if options.calibration is not None:
            from cvexp.export.onnx_int8 import quantized

            proto = quantized(proto, options.calibration, spec, raw=options.raw)
        _strip(proto)
        onnx.helper.set_model_props(proto, metadata(spec, options))
        if proto.ByteSize() >= MAX_BYTES:
            raise ModelError(f"{spec.model} takes more than the 2 GiB that one ONNX file can hold")  # noqa: TRY301
        content: bytes = proto.SerializeToString(deterministic=True)
        onnx.checker.check_model(content, full_check=True)
    except ModelError:
        raise
    except Exception as error:  # a model may be any code, and the exporter raises anything
        raise refused(spec, error) from error
    try:
        checked(content, origin=spec.model)
    except WeightsError as error:
        raise ModelError(error.what, "formats of weights alone take any model: --format safetensors") from error
    return content


def _converted(program: torch.export.ExportedProgram, *, raw: bool) -> Any:
    """The ONNX model of a traced one; weights are inside."""
    import torch

    from cvexp.export.program import INPUT, LOGITS, PROBABILITIES, quiet

    with quiet():
        converted = torch.onnx.export(
            program,
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=[LOGITS] if raw else [LOGITS, PROBABILITIES],
            external_data=False,
            verbose=False,
        )
    assert converted is not None  # noqa: S101 - what dynamo=True returns
    return converted.model_proto


def _strip(proto: Any) -> None:
    """Remove what torch tells of the code that each node comes from, such as the paths of its files."""
    graph = proto.graph
    for part in (proto, graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")


EXPORTER = OnnxExporter()
