"""What an ONNX file of a stranger must be before onnxruntime sees it. Imports no torch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from cvexp.errors import WeightsError
from cvexp.inference.signature import Signature
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

REMEDY = "export the run again: cvexp export RUN --format onnx"
MAX_BYTES = 2**31
"""What one protocol buffer can hold."""

MAX_VALUES = 2**28
"""Elements of one intermediate result for one image."""

MAX_NODES = 100_000
IMAGES, LOGITS, PROBABILITIES = "images", "logits", "probabilities"
IMAGE_DIMS = 4

OPERATORS = frozenset(
    """
    Abs Acos Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization BitShift Cast CastLike Ceil Celu Clip Concat
    Constant ConstantOfShape Conv ConvInteger ConvTranspose Cos Cosh CumSum DepthToSpace DequantizeLinear Div Dropout
    DynamicQuantizeLinear Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather GatherElements GatherND Gelu
    Gemm GlobalAveragePool GlobalMaxPool Greater GreaterOrEqual GridSample GroupNormalization HardSigmoid HardSwish
    Hardmax Identity InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less LessOrEqual Log
    LogSoftmax LpNormalization LpPool MatMul MatMulInteger Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul
    Neg NonZero Not OneHot Or PRelu Pad Pow QLinearConv QLinearMatMul QuantizeLinear RNN Range Reciprocal ReduceL1
    ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu
    Reshape Resize ReverseSequence Round ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice
    Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh ThresholdedRelu Tile TopK Transpose Trilu
    Unique Unsqueeze Upsample Where Xor
    """.split()  # noqa: SIM905 - a list of names, a line each, is six times as long
)
"""Of the standard domain: those from tensors to tensors, without subgraphs, sequences, strings or random numbers."""


def checked(content: bytes, *, origin: str) -> Signature:
    """The signature of an ONNX file as cvexp writes them; `origin` is named in errors.

    Raises:
        WeightsError: It is none, or refers to other files, has tensors with more elements than values, operators or
            domains beyond those expected, or other inputs and outputs.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if len(content) >= MAX_BYTES:
        raise WeightsError(f"{origin} takes {len(content):,} bytes, more than an ONNX file can", REMEDY)
    model = onnx.ModelProto()
    try:
        model.ParseFromString(content)
    except DecodeError as error:
        raise WeightsError(f"{origin} is no ONNX file, or is cut off", REMEDY) from error
    for reason in _faults(model):
        raise WeightsError(f"{origin} is not an ONNX file as cvexp writes them: {reason}", REMEDY)
    signature = _signature(model.graph, origin)
    try:
        inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:  # what its C++ finds has several types
        raise WeightsError(f"{origin} holds layers that do not fit each other", REMEDY) from error
    for value in inferred.graph.value_info:
        if math.prod(_dims(value)) > MAX_VALUES:
            what = f"{shown(value.name)} has {math.prod(_dims(value)):,} values for one image"
            raise WeightsError(f"{origin} asks for too much memory: {what}", REMEDY)
    return signature


def _faults(model: Any) -> Iterator[str]:
    """What is wrong with a parsed model, in words, the cheapest to find first."""
    graph = model.graph
    if not graph.node or len(graph.node) > MAX_NODES:
        yield f"it has {len(graph.node):,} nodes"
    domains = {one.domain for one in model.opset_import} | {node.domain for node in graph.node}
    if strange := sorted(domains - {"", "ai.onnx"}):
        yield f"it needs operators of the domain {shown(strange[0])}"
    if model.functions or model.training_info or graph.sparse_initializer:
        yield "it has functions, training code or sparse tensors"
    for node in graph.node:
        if node.op_type not in OPERATORS:
            yield f"it has the operator {shown(node.op_type)}"
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    for attribute in attributes:
        if attribute.HasField("g") or attribute.graphs or attribute.ref_attr_name or attribute.HasField("sparse_tensor"):
            yield f"the attribute {shown(attribute.name)} holds a graph, a reference or a sparse tensor"
    tensors = [tensor for attribute in attributes for tensor in (attribute.t, *attribute.tensors)]
    for tensor in (*graph.initializer, *tensors):
        if fault := _tensor_fault(tensor):
            yield f"the tensor {shown(tensor.name)} {fault}"


def _tensor_fault(tensor: Any) -> str:
    """Why a tensor is refused; empty if it has as many values as elements."""
    from onnx import TensorProto, helper

    if tensor.external_data or tensor.data_location != TensorProto.DEFAULT or tensor.HasField("segment"):
        return "lies in another file"
    if tensor.data_type in (TensorProto.UNDEFINED, TensorProto.STRING):
        return "" if tensor.data_type == TensorProto.UNDEFINED and not tensor.ByteSize() else "has no numbers"
    try:
        dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    except (KeyError, ValueError, TypeError):
        return "has an unknown type"
    if any(dim < 0 for dim in tensor.dims):
        return "has a negative size"
    wanted = math.prod(tensor.dims)
    typed = sum(len(getattr(tensor, name)) for name in ("float_data", "int32_data", "int64_data", "double_data"))
    stored = len(tensor.raw_data) / dtype.itemsize if tensor.HasField("raw_data") else typed + len(tensor.uint64_data)
    return "" if stored == wanted else f"has {wanted:,} elements, and values for {int(stored):,}"


def _signature(graph: Any, origin: str) -> Signature:
    from onnx import TensorProto

    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    kinds = [value.type.tensor_type.elem_type for value in (*inputs, *graph.output)]
    names, shapes = [value.name for value in graph.output], [_dims(value) for value in (*inputs, *graph.output)]
    raw = kinds[:1] == [TensorProto.FLOAT]
    expected = [TensorProto.FLOAT if raw else TensorProto.UINT8, *([TensorProto.FLOAT] * len(names))]
    outputs = [LOGITS] if raw else [LOGITS, PROBABILITIES]
    fits = [value.name for value in inputs] == [IMAGES] and names == outputs and kinds == expected
    n_classes = shapes[1][1] if fits and len(shapes[1]) == 2 else 0  # noqa: PLR2004 - (N, K)
    if not fits or len(shapes[0]) != IMAGE_DIMS or any(shape != (1, n_classes) for shape in shapes[1:]):
        found = ", ".join([*(value.name for value in inputs), *names][:6])
        wanted = f"{IMAGES} (N, C, H, W) to {' and '.join(outputs)} (N, K)"
        raise WeightsError(f"{origin} has the inputs and outputs {shown(found)}, where cvexp has {wanted}", REMEDY)
    if not _is_dynamic([*inputs, *graph.output]) or math.prod(shapes[0]) > MAX_VALUES or not n_classes:
        raise WeightsError(f"{origin} takes a fixed number of images, or images without a size", REMEDY)
    return Signature(raw=raw, image_shape=shapes[0][1:], n_classes=n_classes)


def _dims(value: Any) -> tuple[int, ...]:
    """The sizes of a value, 1 for those that are not fixed."""
    return tuple(dim.dim_value if dim.HasField("dim_value") else 1 for dim in value.type.tensor_type.shape.dim)


def _is_dynamic(values: Iterable[Any]) -> bool:
    return all(not value.type.tensor_type.shape.dim[0].HasField("dim_value") for value in values)
