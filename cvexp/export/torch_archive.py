"""What a `.pt2` archive of a stranger must be before torch.export.load sees it.

That function executes code in eight ways: it unpickles weights marked `use_pickle`, constants (`opaque_obj_`,
`custom_obj_`) and example inputs, loads shared libraries (`data/aotinductor`), evaluates size expressions with sympy,
turns guards into Python, resolves operators by walking attributes from `torch` (`torch.os.system`), and imports what a
tree specification names. So only archives in the form that cvexp writes are read: tensors as plain bytes, public
operators of ATen, sizes of a few functions, and no string that is more than a name. The archive is written anew from
what was checked, since torch reads zip files with another parser.
"""

from __future__ import annotations

import io
import json
import math
import re
import zipfile
from typing import TYPE_CHECKING, Any

from cvexp.errors import WeightsError
from cvexp.inference.signature import Signature
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

REMEDY = "export the run again: cvexp export RUN --format torch-export"
METADATA = "cvexp.json"
PROGRAM, EXAMPLES = "models/model.json", "data/sample_inputs/model.pt"
CONFIGS = {"weights": "data/weights/model_weights_config.json", "constants": "data/constants/model_constants_config.json"}
MEMBER = re.compile(
    r"archive_format|archive_version|byteorder|\.data/(version|serialization_id)|models/model\.json|extra/cvexp\.json"
    r"|data/sample_inputs/model\.pt|data/weights/(weight_\d+|model_weights_config\.json)"
    r"|data/constants/(tensor_\d+|model_constants_config\.json)"
)
OPERATOR = re.compile(r"torch\.ops\.aten\.([a-z][a-z0-9_]*|_[a-z][a-z0-9_]*|__[a-z]+__)\.([A-Za-z][A-Za-z0-9_]*)")
SCALAR_OPERATOR = re.compile(r"_operator\.(add|sub|mul|floordiv|mod|getitem|eq|ne|lt|le|gt|ge|neg)")
PRIVATE = frozenset(
    ("_assert_tensor_metadata", "_softmax", "_log_softmax", "_to_copy", "_unsafe_view", "_adaptive_avg_pool2d")
)
REFUSED = frozenset(
    """
    as_strided as_strided_ as_strided_scatter empty empty_like empty_permuted empty_strided format from_file new_empty
    new_empty_strided resize resize_ resize_as resize_as_ save set_ set_data set_grad_enabled warn
    """.split()  # noqa: SIM905 - as onnx_file has them
)
"""Operators of ATen that read or write files, give a tensor memory that is not its own, or touch global state."""

WITH_TEXT = frozenset(("einsum", "gelu", "gelu_", "div", "div_", "pad", "conv1d", "conv2d", "meshgrid", "scatter_reduce"))
TEXT = re.compile(r"[A-Za-z, .>-]{1,64}")
NAME = re.compile(r"(?!__)[A-Za-z0-9_]{1,300}(\.(?!__)[A-Za-z0-9_]{1,300}){0,50}")
VERSION = re.compile(r"[0-9A-Za-z.+]{1,40}")
SIZE = re.compile(
    r"(Symbol\('[a-z]{1,3}\d{1,6}'(, (positive|integer|nonnegative)=True){0,3}\)|Integer\(-?\d{1,15}\)"
    r"|(Add|Mul|Max|Min|FloorDiv|Mod|CeilDiv)\(|[), ]){1,60}"
)
FORBIDDEN = ("as_graph", "as_custom_obj", "as_operator", "as_opaque", "as_string_to_argument", "as_strings")
UINT8, FLOAT = 1, 7
"""torch's serialized dtypes."""

IMAGE_DIMS = 4


class _Refused(Exception):  # noqa: N818 - turned into a WeightsError
    """Why an archive is refused."""


def checked(content: bytes, origin: str) -> tuple[bytes, Signature]:
    """An archive with the same members, safe to load, and what its program takes and answers.

    Raises:
        WeightsError: It is none, or not in the form that cvexp writes; `origin` is named.
    """
    try:
        members = _members(content)
        program = json.loads(members[PROGRAM])
        configs = {kind: json.loads(members[name]) for kind, name in CONFIGS.items()}
        _check_program(program)
        for kind, config in configs.items():
            _check_tensors(config["config"], kind, members)
        signature = _signature(program["graph_module"]["graph"])
    except _Refused as error:
        raise WeightsError(f"{origin} is not a .pt2 file as cvexp writes them: {error}", REMEDY) from None
    except Exception as error:  # the documents may have any form
        raise WeightsError(f"{origin} is no .pt2 file, or is damaged", REMEDY) from error
    plain = {CONFIGS[kind]: config for kind, config in configs.items()} | {PROGRAM: program}
    return _archive(members | {name: json.dumps(document).encode() for name, document in plain.items()}), signature


def _members(content: bytes) -> dict[str, bytes]:
    """The archive's members by name, without its outer folder; none is compressed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        infos = archive.infolist()
        if any(one.compress_type != zipfile.ZIP_STORED for one in infos) or sum(i.file_size for i in infos) > len(content):
            raise _Refused("it is compressed")
        found = {info.filename.partition("/")[2]: archive.read(info) for info in infos}
    strange = next((name for name in found if not MEMBER.fullmatch(name)), None)
    if strange is not None or len(found) != len(infos):
        raise _Refused(f"it has the member {shown(strange or 'twice')}")
    if found[EXAMPLES]:
        raise _Refused("it has example inputs, which are pickled")
    return found


def _archive(members: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"archive/{name}"), content)
    return buffer.getvalue()


def _check_program(program: Mapping[str, Any]) -> None:
    module = program["graph_module"]
    graph = module["graph"]
    calls = module["module_call_graph"]
    extras = (program["guards_code"], module["metadata"], module["treespec_namedtuple_fields"], graph["custom_obj_values"])
    if any(extras) or len(calls) != 1:
        raise _Refused("it has guards, metadata or objects")
    specs = calls[0]["signature"].pop("in_spec"), calls[0]["signature"].pop("out_spec")
    if specs not in _specs():
        raise _Refused("it takes or returns something else than tensors")
    _check_text(program)
    calls[0]["signature"].update(in_spec=specs[0], out_spec=specs[1])
    for node in graph["nodes"]:
        _check_node(node)


def _specs() -> set[tuple[str, str]]:
    """The only tree specifications there are: one tensor to two, or to one."""
    from torch.utils._pytree import tree_structure, treespec_dumps

    takes = treespec_dumps(tree_structure(((0,), {})))
    return {(takes, treespec_dumps(tree_structure(answer))) for answer in ((0, 0), 0)}


def _check_text(document: Any, key: str = "") -> None:
    """Refuse keys and strings that are more than names, and values that are graphs, objects or on another device."""
    if isinstance(document, dict):
        for name, value in document.items():
            if name in FORBIDDEN and value is not None or not NAME.fullmatch(name):
                raise _Refused(f"it has the field {shown(name)}")
            _check_text(value, name)
    elif isinstance(document, list):
        for value in document:
            _check_text(value, key)
    elif isinstance(document, str):
        pattern = {"expr_str": SIZE, "torch_version": VERSION, "as_string": TEXT, "target": None}.get(key, NAME)
        if not (document == "" and key == "fqn") and pattern is not None and not pattern.fullmatch(document):
            raise _Refused(f"it has the text {shown(document)}")


def _check_node(node: Mapping[str, Any]) -> None:
    target = node["target"]
    found = OPERATOR.fullmatch(target)
    name = found[1] if found else ""
    is_private = name.startswith("_") and not name.startswith("__") and name not in PRIVATE
    if name in REFUSED or is_private or not (found or SCALAR_OPERATOR.fullmatch(target)):
        raise _Refused(f"it has the operator {shown(target)}")
    if node["metadata"] or (name not in WITH_TEXT and any("as_string" in one["arg"] for one in node["inputs"])):
        raise _Refused(f"the operator {shown(target)} is given text")


def _check_tensors(config: Mapping[str, Any], kind: str, members: Mapping[str, bytes]) -> None:
    """Each tensor is plain bytes of the archive, and has no more elements than it has bytes."""
    for name, one in config.items():
        _check_text({"name": name, "meta": one["tensor_meta"]})
        path = f"data/{kind}/{one['path_name']}"
        if one["use_pickle"] is not False or path in CONFIGS.values() or path not in members:
            raise _Refused(f"the tensor {shown(name)} is pickled, or not there")
        meta = one["tensor_meta"]
        sizes = [size["as_int"] for size in meta["sizes"]]
        if any(type(size) is not int or size < 0 for size in sizes) or math.prod(sizes) > len(members[path]):
            raise _Refused(f"the tensor {shown(name)} has more elements than are stored")
        if (meta["device"] or {}).get("type") != "cpu":
            raise _Refused(f"the tensor {shown(name)} is not on the CPU")


def _signature(graph: Mapping[str, Any]) -> Signature:
    """What the program says of its input `images` and its outputs."""
    values = graph["tensor_values"]
    images = values["images"]
    outputs = [values[one["as_tensor"]["name"]] for one in graph["outputs"]]
    raw = len(outputs) == 1
    fixed = [size.get("as_int", 0) for size in images["sizes"]]
    shapes = {tuple(size.get("as_int", 0) for size in output["sizes"]) for output in outputs}
    kinds = {output["dtype"] for output in outputs}
    if images["dtype"] != (FLOAT if raw else UINT8) or kinds != {FLOAT} or len(shapes) != 1 or len(fixed) != IMAGE_DIMS:
        raise _Refused("it has other inputs or outputs")
    (shape,) = shapes
    if len(shape) != 2 or shape[0] or fixed[0] or not all(fixed[1:]) or not shape[1]:  # noqa: PLR2004 - (N, K)
        raise _Refused("it takes a fixed number of images")
    return Signature(raw=raw, image_shape=tuple(fixed[1:]), n_classes=shape[1])
