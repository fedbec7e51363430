"""The OpenVINO format: an IR, preprocessing inside, in one archive that is not compressed."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp import checkpoint
from cvexp.errors import ConfigError, ModelError, WeightsError
from cvexp.export.extras import require
from cvexp.export.formats import DEFAULTS, check_cpu

if TYPE_CHECKING:
    import torch
    from torch import nn

    from cvexp.export.formats import ExportOptions, Variant
    from cvexp.inference.openvino_predictor import OpenVinoPredictor
    from cvexp.models.spec import ModelSpec

MODEL, WEIGHTS, METADATA = "model.xml", "model.bin", "cvexp.json"
"""The members: unzipped, the first two are what OpenVINO reads anywhere."""


class OpenVinoExporter:
    """Converts what `cvexp.export.onnx` writes, with its names of inputs and outputs, in float32."""

    variants: tuple[Variant, ...] = ("raw",)

    def write(self, path: Path, model: nn.Module, spec: ModelSpec, *, options: ExportOptions = DEFAULTS) -> str:
        """See `Exporter.write`."""
        require("openvino")
        if options.calibration is not None:
            raise ConfigError("--quantize means nothing for .openvino", "int8 is written by: --format onnx")
        from cvexp.export.onnx import encoded
        from cvexp.export.program import metadata, refused
        from cvexp.inference.openvino_predictor import read_model
        from cvexp.inference.packed import packed

        content = encoded(model, spec, options=options)
        try:
            xml, weights = _converted(content, spec)
            read_model(xml, weights, origin=spec.model)
        except WeightsError as error:
            raise ModelError(error.what, "ONNX takes more kinds of layers: --format onnx") from error
        except Exception as error:  # OpenVINO has one type for everything
            raise refused(spec, error) from error
        said = json.dumps(metadata(spec, options), ensure_ascii=False).encode()
        return checkpoint.write(path, packed({MODEL: xml, WEIGHTS: weights, METADATA: said}))

    def read(
        self,
        path: Path,
        spec: ModelSpec,
        *,
        device: torch.device,
        trusted_factory: str | None = None,  # noqa: ARG002 - the file holds the program itself
    ) -> OpenVinoPredictor:
        """See `Exporter.read`; `openvino_ir` says what is checked first."""
        require("openvino")
        from cvexp.inference.openvino_ir import REMEDY
        from cvexp.inference.openvino_predictor import OpenVinoPredictor
        from cvexp.inference.packed import unpacked

        check_cpu(device, path, runtime="OpenVINO")
        content = checkpoint.read_verified(path, sha256=spec.weights_sha256)
        members = unpacked(content, (MODEL, WEIGHTS, METADATA), origin=str(path), remedy=REMEDY)
        predictor = OpenVinoPredictor(members[MODEL], members[WEIGHTS], transform=spec.transform, origin=str(path))
        predictor.signature.check(spec, path, REMEDY)
        return predictor


def _converted(onnx: bytes, spec: ModelSpec) -> tuple[bytes, bytes]:
    """The XML and the weights of an ONNX model's IR; they are written to a folder, since there is no other way."""
    from cvexp.inference.openvino_ir import checked
    from cvexp.inference.openvino_predictor import core, library

    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        xml, weights = Path(scratch) / MODEL, Path(scratch) / WEIGHTS
        library().save_model(core().read_model(onnx), xml, compress_to_fp16=False)  # float16 is its own choice
        stored = weights.read_bytes()
        return checked(xml.read_bytes(), len(stored), origin=spec.model), stored


EXPORTER = OpenVinoExporter()
