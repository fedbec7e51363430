"""int8 for ONNX files: onnxruntime's static quantization, activations uint8, weights int8 for each channel.

Weights have 7 bits. CPUs without VNNI add pairs of products in 16 bits, where two of 255 times 127 do not fit, and
saturate without a word: with 8 bits such a CPU gave 3.6% of the digits another class than the fp32 model.
(onnxruntime's guide to quantization, `reduce_range`.)
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import numpy as np
    import numpy.typing as npt
    from torch import Tensor

    from cvexp.models.spec import ModelSpec

BATCH = 50
"""Calibration images of one call."""

QUANTIZED = ("Conv", "Gemm", "MatMul", "Add", "Relu", "Clip", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat")
"""Operators; the transform, means over maps and softmax stay float32."""

FLOAT_OUTPUT = ("Gemm", "MatMul")
"""Multiplied in int8 too, but answered in float32: 256 levels of a logit would make ties."""


class CalibrationImages:
    """The reader that onnxruntime asks for batches."""

    def __init__(self, images: Tensor, spec: ModelSpec, *, raw: bool) -> None:
        self._batches = self._of(images, spec, raw=raw)

    @staticmethod
    def _of(images: Tensor, spec: ModelSpec, *, raw: bool) -> Iterator[Mapping[str, npt.NDArray[np.generic]]]:
        import torch

        for batch in torch.split(images.cpu(), BATCH):
            yield {"images": (spec.transform(batch) if raw else batch).contiguous().numpy()}

    def get_next(self) -> Mapping[str, npt.NDArray[np.generic]] | None:
        """The next batch; None after the last."""
        return next(self._batches, None)


def quantized(proto: Any, images: Tensor, spec: ModelSpec, *, raw: bool) -> Any:
    """The int8 model of an fp32 one, with ranges measured on `images`, uint8 (N, C, H, W), N at least 1."""
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    from cvexp.export.program import quiet

    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch, quiet():
        whole, prepared, small = (Path(scratch) / name for name in ("fp32.onnx", "prepared.onnx", "int8.onnx"))
        onnx.save(proto, whole)
        quant_pre_process(whole, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            small,
            CalibrationImages(images, spec, raw=raw),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(QUANTIZED),
            per_channel=True,
            reduce_range=True,  # see the head of this module
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            extra_options={"OpTypesToExcludeOutputQuantization": list(FLOAT_OUTPUT)},
        )
        found = onnx.load(small)
    used = {node.domain for node in found.graph.node}
    kept = [one for one in found.opset_import if one.domain in used]  # the optimizer imports all that it knows
    del found.opset_import[:]
    found.opset_import.extend(kept)
    return found
