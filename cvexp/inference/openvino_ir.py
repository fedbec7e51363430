"""What an OpenVINO IR of a stranger must be before OpenVINO sees it. Imports neither torch nor OpenVINO.

Its reader trusts sizes and offsets, recurses without a limit, and takes layers from extensions. So the XML is read
here, and what is known and checked is written anew: layers of a list, constants that lie within the weights, and edges
that point forward. Names, `rt_info` and everything else are left out.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from cvexp.errors import WeightsError
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

REMEDY = "export the run again: cvexp export RUN --format openvino"
VERSION = "11"
"""Of the IR: the only one since 2022."""

MAX_XML, MAX_LAYERS, MAX_DEPTH = 2**26, 100_000, 8
LAYERS = frozenset(
    """
    Abs Acos Acosh AdaptiveAvgPool AdaptiveMaxPool Add Asin Asinh Atan Atanh AvgPool BatchNormInference Broadcast
    Ceiling Clamp Concat Const Convert ConvertLike Convolution ConvolutionBackpropData Cos Cosh CumSum DepthToSpace
    Divide Einsum Elu Equal Erf Exp Floor FloorMod Gather Gelu Greater GreaterEqual GroupConvolution
    GroupConvolutionBackpropData GroupNormalization HSigmoid HSwish HardSigmoid Identity Interpolate IsFinite IsInf
    IsNaN LRN Less LessEqual Log LogSoftmax LogicalAnd LogicalNot LogicalOr LogicalXor MVN MatMul MaxPool Maximum
    Minimum Mish Mod Multiply Negative NormalizeL2 NotEqual OneHot PReLU Pad Parameter Power Range ReLU ReduceL1
    ReduceL2 ReduceLogicalAnd ReduceLogicalOr ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum Reshape Result
    Roll Round ScaledDotProductAttention Select Selu ShapeOf ShuffleChannels Sigmoid Sign Sin Sinh Slice SoftMax
    SoftPlus SoftSign SpaceToDepth Split Sqrt SquaredDifference Squeeze StridedSlice Subtract Swish Tan Tanh Tile
    TopK Transpose Unsqueeze VariadicSplit
    """.split()  # noqa: SIM905 - as onnx_file has them
)
"""From tensors to tensors, without subgraphs, state, strings or random numbers; without those that write or read where
an index says (ScatterUpdate, GatherND), since whether it is in range depends on the input."""

ITEM_BYTES = {
    **dict.fromkeys(("u8", "i8", "boolean"), 1),
    **dict.fromkeys(("u16", "i16", "f16", "bf16"), 2),
    **dict.fromkeys(("u32", "i32", "f32"), 4),
    **dict.fromkeys(("u64", "i64", "f64"), 8),
}
PUBLIC = frozenset(("images", "logits", "probabilities"))
NUMBER, DIMENSIONS = re.compile(r"\d{1,15}"), re.compile(r"(\d{1,10}(, ?\d{1,10}){0,9})?")
NAME, OPSET, PRECISION = re.compile(r"[a-z][a-z0-9_]{0,40}"), re.compile(r"opset\d{1,2}"), re.compile(r"[A-Z0-9]{1,8}")
DIMENSION = re.compile(r"-1|\d{1,10}")
VALUE = re.compile(r"(?!.*(?<![.\d])\d{11})[A-Za-z0-9_., ?+-]{0,400}")
"""Of a layer's attribute: words and numbers, no whole number long enough to overflow."""


class _Refused(Exception):  # noqa: N818 - turned into a WeightsError
    """Why an IR is refused."""


class _Shallow(ET.TreeBuilder):
    """Builds a tree that is not deep, and has no document type, so that no entity is ever defined."""

    depth = 0

    def start(self, tag: str, attrs: dict[str, str]) -> ET.Element:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Refused("it is nested too deeply")
        return super().start(tag, attrs)

    def end(self, tag: str) -> ET.Element:
        self.depth -= 1
        return super().end(tag)

    def doctype(self, name: str, *_: object) -> None:
        raise _Refused(f"it has the document type {shown(name)}")


def checked(xml: bytes, n_bytes: int, *, origin: str) -> bytes:
    """The XML of an IR as cvexp writes them, written anew; its weights take `n_bytes`.

    Raises:
        WeightsError: It is none, or has layers, attributes or constants beyond those expected; `origin` is named.
    """
    try:
        if len(xml) > MAX_XML:
            raise _Refused(f"its XML takes {len(xml):,} bytes")  # noqa: TRY301
        parser = ET.XMLParser(target=_Shallow())  # noqa: S314 - see _Shallow
        parser.feed(xml)
        made: bytes = ET.tostring(_written(parser.close(), n_bytes), encoding="utf-8", xml_declaration=True)
    except _Refused as error:
        raise WeightsError(f"{origin} is not an OpenVINO file as cvexp writes them: {error}", REMEDY) from None
    except Exception as error:  # expat's own, and what parts that are missing lead to
        raise WeightsError(f"{origin} is no OpenVINO file, or is damaged", REMEDY) from error
    return made


def _written(net: ET.Element, n_bytes: int) -> ET.Element:
    layers = net.findall("./layers/layer")
    if net.tag != "net" or net.get("version") != VERSION or not 0 < len(layers) <= MAX_LAYERS:
        raise _Refused(f"it has {len(layers):,} layers, or is of another version")
    known = {"layers", "edges", "rt_info"}
    if strange := next((one.tag for one in net if one.tag not in known), None):
        raise _Refused(f"it has the part {shown(strange)}")
    made = ET.Element("net", name="cvexp", version=VERSION)
    inside, places = ET.SubElement(made, "layers"), {}
    for place, layer in enumerate(layers):
        number = _matching(NUMBER, layer.get("id"))
        if number in places:
            raise _Refused(f"it has the layer {number} twice")
        places[number] = place
        inside.append(_layer(layer, number, n_bytes))
    edges = ET.SubElement(made, "edges")
    edges.extend(list(_edges(net, places, inside)))  # a list, since `extend` hides what an iterator raises
    return made


def _matching(pattern: re.Pattern[str], text: str | None) -> str:
    if text is None or not pattern.fullmatch(text):
        raise _Refused(f"it has the text {shown((text or '')[:80])}")
    return text


def _layer(layer: ET.Element, number: str, n_bytes: int) -> ET.Element:
    """One layer with its attributes and ports."""
    kind = layer.get("type", "")
    if kind not in LAYERS:
        raise _Refused(f"it has the layer {shown(kind)}")
    version = _matching(OPSET, layer.get("version"))
    made = ET.Element("layer", id=number, name=f"{kind}_{number}", type=kind, version=version)
    if (data := layer.find("data")) is not None:
        given = {_matching(NAME, name): _matching(VALUE, value) for name, value in data.attrib.items()}
        if kind == "Const":
            given = _constant(given, n_bytes)
        ET.SubElement(made, "data", given)
    elif kind == "Const":
        raise _Refused("it has a constant without values")
    for side in ("input", "output"):
        ports = layer.findall(f"./{side}/port")
        if ports:
            inside = ET.SubElement(made, side)
            inside.extend([_port(port) for port in ports])
    return made


def _constant(data: Mapping[str, str], n_bytes: int) -> dict[str, str]:
    """The attributes of a constant that lies within the weights, and has as many bytes as its shape takes."""
    kind, shape = data["element_type"], _matching(DIMENSIONS, data["shape"])
    offset, size = (_matching(NUMBER, data[name]) for name in ("offset", "size"))
    elements = math.prod(int(one) for one in shape.split(",") if one)
    if kind not in ITEM_BYTES or int(size) != elements * ITEM_BYTES[kind] or int(offset) + int(size) > n_bytes:
        raise _Refused(f"a constant has {elements:,} elements of type {shown(kind)}, and {int(size):,} bytes")
    return {"element_type": kind, "shape": shape, "offset": offset, "size": size}


def _port(port: ET.Element) -> ET.Element:
    made = ET.Element(
        "port", id=_matching(NUMBER, port.get("id")), precision=_matching(PRECISION, port.get("precision"))
    )
    public = PUBLIC & set(port.get("names", "").split(","))
    if public:
        made.set("names", ",".join(sorted(public)))
    for dim in port.findall("dim"):
        ET.SubElement(made, "dim").text = _matching(DIMENSION, dim.text)
    return made


def _edges(net: ET.Element, places: Mapping[str, int], layers: ET.Element) -> Iterator[ET.Element]:
    """The edges: each leads from an output to an input of a later layer, and each input has one."""
    outputs, inputs = (
        {(layer.get("id"), port.get("id")) for layer in layers for port in layer.findall(f"./{side}/port")}
        for side in ("output", "input")
    )
    for edge in net.findall("./edges/edge"):
        names = ("from-layer", "from-port", "to-layer", "to-port")
        source, out, target, into = (_matching(NUMBER, edge.get(name)) for name in names)
        if (source, out) not in outputs or (target, into) not in inputs or places[source] >= places[target]:
            raise _Refused(f"an edge leads from layer {source} to layer {target}")
        inputs.remove((target, into))
        yield ET.Element("edge", dict(zip(names, (source, out, target, into), strict=True)))
    if inputs:
        raise _Refused(f"{len(inputs):,} inputs of layers have no edge")
