"""A stranger's .pt2 archive runs no code: what torch.export.load would execute is refused before."""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from copy import deepcopy

import pytest
from torch.utils._pytree import tree_structure, treespec_dumps

from cvexp.errors import WeightsError
from cvexp.export.torch_archive import checked
from cvexp.inference.signature import Signature

BATCH = {"as_expr": {"expr_str": "Symbol('s34', positive=True, integer=True)", "hint": {"as_int": 2}}}


def tensor(dtype, *sizes):
    device = {"type": "cpu", "index": None}
    return {"dtype": dtype, "sizes": [one if isinstance(one, dict) else {"as_int": one} for one in sizes], "device": device}


def node(target, *arguments, name="linear"):
    inputs = [{"name": "input", "arg": argument, "kind": 1} for argument in arguments]
    return {"target": target, "inputs": inputs, "outputs": [{"as_tensor": {"name": name}}], "metadata": {}, "name": name}


def program():
    """The document of a linear model as torch writes it, of those fields that the check reads."""
    graph = {
        "inputs": [{"as_tensor": {"name": name}} for name in ("p_weight", "images")],
        "outputs": [{"as_tensor": {"name": name}} for name in ("linear", "softmax")],
        "nodes": [
            node("torch.ops.aten.linear.default", {"as_tensor": {"name": "images"}}, {"as_tensor": {"name": "p_weight"}}),
            node("torch.ops.aten.softmax.int", {"as_tensor": {"name": "linear"}}, {"as_int": 1}, name="softmax"),
        ],
        "tensor_values": {
            "images": tensor(1, BATCH, 1, 8, 8),
            "linear": tensor(7, BATCH, 3),
            "softmax": tensor(7, BATCH, 3),
        },
        "custom_obj_values": {},
    }
    signature = {
        "inputs": [],
        "in_spec": treespec_dumps(tree_structure(((0,), {}))),
        "out_spec": treespec_dumps(tree_structure((0, 0))),
        "forward_arg_names": ["images"],
    }
    module = {
        "graph": graph,
        "module_call_graph": [{"fqn": "", "signature": signature}],
        "metadata": {},
        "treespec_namedtuple_fields": {},
    }
    return {"graph_module": module, "guards_code": [], "torch_version": "2.15.0+cpu", "verifiers": ["TRAINING"]}


def members():
    weights = {"weight": {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": tensor(7, 3, 64)}}
    return {
        "data/weights/weight_0": bytes(3 * 64 * 4),
        "data/weights/model_weights_config.json": {"config": weights},
        "data/constants/model_constants_config.json": {"config": {}},
        "models/model.json": program(),
        "data/sample_inputs/model.pt": b"",
        "extra/cvexp.json": b"{}",
        "archive_format": b"pt2",
        "archive_version": b"0",
    }


def archive(found, *, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in found.items():
            file.writestr(f"m/{name}", content if isinstance(content, bytes) else json.dumps(content))
    return buffer.getvalue()


def test_an_archive_as_cvexp_writes_them_says_what_it_takes_and_keeps_its_members():
    plain, signature = checked(archive(members()), "m.pt2")
    assert signature == Signature(raw=False, image_shape=(1, 8, 8), n_classes=3)
    with zipfile.ZipFile(io.BytesIO(plain)) as file:
        assert json.loads(file.read("archive/models/model.json")) == program()
        assert {name.partition("/")[2] for name in file.namelist()} == set(members())


class Payload:
    def __reduce__(self):
        return (pytest.fail, ("code of the archive ran",))


PICKLED = pickle.dumps(Payload())


def pickled_examples(found):
    found["data/sample_inputs/model.pt"] = PICKLED


def pickled_weight(found):
    found["data/weights/weight_0"] = PICKLED
    found["data/weights/model_weights_config.json"]["config"]["weight"]["use_pickle"] = True


def pickled_weight_by_a_true_number(found):
    found["data/weights/model_weights_config.json"]["config"]["weight"]["use_pickle"] = 1


def pickled_constant(found):
    found["data/constants/opaque_obj_0"] = PICKLED


def torchscript_object(found):
    found["data/constants/custom_obj_0"] = PICKLED


def legacy_weights(found):
    found["data/weights/model.pt"] = PICKLED


def shared_library(found):
    found["data/aotinductor/model/model.so"] = b"\x7fELF"


def second_program(found):
    found["models/other.json"] = program()


def older_form(found):
    found.clear()
    found["serialized_exported_program.json"] = program()


def module_of(found):
    return found["models/model.json"]["graph_module"]


def evaluated_size(found):
    text = "__import__('os').system('touch ran')"
    module_of(found)["graph"]["tensor_values"]["linear"]["sizes"][0]["as_expr"]["expr_str"] = text


def evaluated_after_a_symbol(found):
    text = "Symbol('s34', positive=True, integer=True).__class__"
    module_of(found)["graph"]["tensor_values"]["linear"]["sizes"][0]["as_expr"]["expr_str"] = text


def power_of_sizes(found):
    text = "Pow(Integer(999999999), Integer(999999999))"
    module_of(found)["graph"]["tensor_values"]["linear"]["sizes"][0]["as_expr"]["expr_str"] = text


def system_call(found):
    module_of(found)["graph"]["nodes"].append(node("torch.os.system", {"as_string": "true"}))


def system_call_by_an_operator(found):
    module_of(found)["graph"]["nodes"].append(node("torch.ops.aten.__class__.default.os", {"as_string": "true"}))


def attribute_walk(found):
    module_of(found)["graph"]["nodes"].append(node("_operator.attrgetter", {"as_string": "x"}))


def file_access(found):
    module_of(found)["graph"]["nodes"].append(node("torch.ops.aten.from_file.default", {"as_string": "secret"}))


def text_for_an_operator(found):
    module_of(found)["graph"]["nodes"].append(node("torch.ops.aten.relu.default", {"as_string": "secret"}))


def foreign_memory(found):
    module_of(found)["graph"]["nodes"].append(node("torch.ops.aten.as_strided.default", {"as_ints": [2**40]}))


def higher_order(found):
    module_of(found)["graph"]["nodes"].append(node("torch.ops.higher_order.cond", {"as_graph": {"name": "x"}}))


def subgraph(found):
    module_of(found)["graph"]["nodes"].append(node("torch.ops.aten.relu.default", {"as_graph": {"name": "x"}}))


def guards(found):
    found["models/model.json"]["guards_code"] = ["__import__('os').system('true')"]


def imported_tree(found):
    context = '{"default_factory_module": "os", "default_factory_name": "abort", "dict_context": []}'
    spec = json.dumps([1, {"type": "collections.defaultdict", "context": context, "children_spec": []}])
    module_of(found)["module_call_graph"][0]["signature"]["in_spec"] = spec


def node_metadata(found):
    module_of(found)["graph"]["nodes"][0]["metadata"] = {"source_fn_stack": "x,torch.os.abort"}


def name_that_is_code(found):
    module_of(found)["graph"]["nodes"][0]["name"] = "x\nimport os"


def private_name(found):
    module_of(found)["graph"]["inputs"][0]["as_tensor"]["name"] = "a.__class__.b"


def giant_weight(found):
    found["data/weights/model_weights_config.json"]["config"]["weight"]["tensor_meta"]["sizes"] = [{"as_int": 2**60}]


def empty_giant_weight(found):
    giant_weight(found)
    found["data/weights/weight_0"] = b""


def path_outside(found):
    found["data/weights/model_weights_config.json"]["config"]["weight"]["path_name"] = "../../models/model.json"


def other_device(found):
    meta = found["data/weights/model_weights_config.json"]["config"]["weight"]["tensor_meta"]
    meta["device"] = {"type": "cuda", "index": 0}


def fixed_batch(found):
    for value in module_of(found)["graph"]["tensor_values"].values():
        value["sizes"][0] = {"as_int": 2}


def floats_as_images(found):
    module_of(found)["graph"]["tensor_values"]["images"]["dtype"] = 7


def no_program(found):
    del found["models/model.json"]


def deep(found):
    found["models/model.json"] = b"[" * 100_000


CHANGES = [
    pickled_examples, pickled_weight, pickled_weight_by_a_true_number, pickled_constant, torchscript_object,
    legacy_weights, shared_library, second_program, older_form, evaluated_size, evaluated_after_a_symbol,
    power_of_sizes, system_call, system_call_by_an_operator, attribute_walk, file_access, text_for_an_operator,
    foreign_memory, higher_order, subgraph, guards, imported_tree, node_metadata, name_that_is_code, private_name,
    giant_weight, empty_giant_weight, path_outside, other_device, fixed_batch, floats_as_images, no_program, deep,
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_an_archive_in_any_other_form_is_refused_and_nothing_in_it_runs(change):
    found = deepcopy(members())
    change(found)
    with pytest.raises(WeightsError) as caught:
        checked(archive(found), "m.pt2")
    assert caught.value.what.startswith("m.pt2 is ")
    assert len(caught.value.lines()) <= 3


def test_compressed_and_doubled_members_are_refused():
    with pytest.raises(WeightsError, match="compressed"):
        checked(archive(members(), compression=zipfile.ZIP_DEFLATED), "m.pt2")
    buffer = io.BytesIO(archive(members()))
    with zipfile.ZipFile(buffer, "a") as file, pytest.warns(UserWarning, match="Duplicate"):
        file.writestr("m/models/model.json", json.dumps(program()))
    with pytest.raises(WeightsError, match="has the member twice"):
        checked(buffer.getvalue(), "m.pt2")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x80\x04."], ids=["empty", "zip", "pickle"])
def test_what_is_no_archive_is_refused(content):
    with pytest.raises(WeightsError, match=r"no \.pt2 file, or is damaged"):
        checked(content, "m.pt2")
