"""What a stranger's ONNX file may do: run its standard operators on images, or be refused in three lines."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from onnx import StringStringEntryProto, TensorProto, helper

from cvexp.data.transforms import Transform
from cvexp.errors import WeightsError
from cvexp.imports import child_environment
from cvexp.inference.onnx_file import checked
from cvexp.inference.onnx_session import OnnxPredictor, open_session
from cvexp.inference.predictor import Preparing
from cvexp.inference.signature import Signature
from tests.onnx_files import N_CLASSES, SHAPE, linear_model


def images_of(n_images):
    return torch.randint(0, 256, (n_images, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("n_images", [1, 2, 501])
def test_logits_are_those_of_the_file_for_any_number_of_images(n_images):
    model, weights = linear_model()
    predictor, images = OnnxPredictor(model.SerializeToString(), transform=Transform()), images_of(n_images)
    wanted = (images.float() / 255).flatten(1) @ torch.from_numpy(weights).T
    assert (predictor.signature.image_shape, predictor.signature.n_classes) == (SHAPE, N_CLASSES)
    assert torch.allclose(predictor.logits(images), wanted, atol=1e-5)
    assert torch.allclose(predictor.probabilities(images), wanted.softmax(1), atol=1e-6)


def test_a_file_of_the_network_alone_gets_transformed_images():
    model, weights = linear_model(dtype=TensorProto.FLOAT, outputs=("logits",))
    del model.graph.node[4], model.graph.node[:2]
    model.graph.node[0].input[0] = "images"
    transform, images = Transform(mean=(0.25,), std=(0.5,)), images_of(7)
    predictor = OnnxPredictor(model.SerializeToString(), transform=transform)
    assert predictor.signature.raw
    wanted = transform(images).flatten(1) @ torch.from_numpy(weights).T
    assert torch.allclose(predictor.logits(images), wanted, atol=1e-5)
    assert torch.allclose(predictor.probabilities(images), wanted.softmax(1), atol=1e-6)


def test_images_that_are_a_view_are_read_in_their_own_order():
    predictor = OnnxPredictor(linear_model()[0].SerializeToString(), transform=Transform())
    turned = images_of(5).transpose(2, 3)
    assert torch.equal(predictor.logits(turned), predictor.logits(turned.contiguous()))


def test_what_is_timed_gives_the_same_logits_with_the_threads_that_were_asked_for():
    predictor, images = OnnxPredictor(linear_model()[0].SerializeToString(), transform=Transform()), images_of(4)
    assert isinstance(predictor, Preparing)
    with predictor.prepared(images, n_threads=1) as predict:
        assert torch.equal(predict(images), predictor.logits(images))


def add_initializer(model, **changes):
    tensor = helper.make_tensor("extra", TensorProto.FLOAT, [2], [1.0, 2.0])
    for name, value in changes.items():
        if name == "dims":
            tensor.dims[:] = value
        elif name == "external":
            tensor.data_location = TensorProto.EXTERNAL
            tensor.external_data.append(StringStringEntryProto(key="location", value=value))
            del tensor.float_data[:]
    model.graph.initializer.append(tensor)


def external(model):
    add_initializer(model, external="../x")


def external_marked_as_inside(model):
    add_initializer(model, external="/etc/passwd")
    model.graph.initializer[-1].data_location = TensorProto.DEFAULT


def giant(model):
    add_initializer(model, dims=[2**40, 2**20])


def negative(model):
    add_initializer(model, dims=[-2, -1])


def giant_constant(model):
    tensor = helper.make_tensor("value", TensorProto.FLOAT, [1], [1.0])
    tensor.dims[:] = [2**50]
    model.graph.node.insert(0, helper.make_node("Constant", [], ["big"], value=tensor))


def giant_result(model):
    tensor = helper.make_tensor("shape", TensorProto.INT64, [2], [2**30, 2**10])
    model.graph.initializer.append(tensor)
    model.graph.node.insert(0, helper.make_node("ConstantOfShape", ["shape"], ["big"]))


def other_domain(model):
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node.append(helper.make_node("FusedGemm", ["flat", "weights"], ["x"], domain="com.microsoft"))


def own_operator(model):
    model.graph.node.append(helper.make_node("PyOp", ["flat"], ["x"]))


def a_loop(model):
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["x"], body=body))


def subgraph(model):
    model.graph.node[0].attribute.append(helper.make_attribute("body", helper.make_graph([], "body", [], [])))


def function(model):
    imports = [helper.make_opsetid("", 18)]
    model.functions.append(helper.make_function("own", "f", ["a"], ["b"], [], imports))


def third_output(model):
    model.graph.output.append(helper.make_tensor_value_info("flat", TensorProto.FLOAT, ["batch", 64]))


def second_input(model):
    model.graph.input.append(helper.make_tensor_value_info("more", TensorProto.FLOAT, ["batch", 64]))


def no_probabilities(model):
    del model.graph.output[1]


def other_input_type(model):
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.INT8


def fixed_batch(model):
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1


def shapes_that_do_not_fit(model):
    model.graph.initializer[0].dims[:] = [64, 3]


def nothing(model):
    del model.graph.node[:]


MALICIOUS = {
    external: "lies in another file",
    external_marked_as_inside: "lies in another file",
    giant: "elements, and values for 2",
    negative: "has a negative size",
    giant_constant: "elements, and values for 1",
    giant_result: "asks for too much memory",
    other_domain: "operators of the domain com.microsoft",
    own_operator: "has the operator PyOp",
    a_loop: "has the operator Loop",
    subgraph: "the attribute body holds a graph",
    function: "functions, training code or sparse tensors",
    third_output: "has the inputs and outputs",
    second_input: "has the inputs and outputs",
    no_probabilities: "has the inputs and outputs",
    other_input_type: "has the inputs and outputs",
    fixed_batch: "a fixed number of images",
    shapes_that_do_not_fit: "do not fit each other",
    nothing: "0 nodes",
}


@pytest.mark.parametrize("change", MALICIOUS, ids=lambda change: change.__name__)
def test_a_file_that_is_not_as_cvexp_writes_them_is_refused_before_onnxruntime_sees_it(change, monkeypatch):
    model, _ = linear_model()
    change(model)
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_: pytest.fail("onnxruntime saw it"))
    with pytest.raises(WeightsError) as caught:
        open_session(model.SerializeToString(), n_threads=1, origin="m.onnx")
    assert MALICIOUS[change] in caught.value.what
    assert caught.value.what.startswith("m.onnx ")
    assert len(caught.value.lines()) <= 3


@pytest.mark.parametrize("content", [b"", b"\x00", b"PK\x03\x04", b"\xff" * 100], ids=["empty", "zero", "zip", "ones"])
def test_what_is_no_onnx_file_is_refused(content):
    with pytest.raises(WeightsError):
        open_session(content, n_threads=1)


def test_a_file_that_is_cut_off_anywhere_is_refused():
    content = linear_model()[0].SerializeToString()
    for length in range(0, len(content), 37):
        with pytest.raises(WeightsError):
            open_session(content[:length], n_threads=1)


def test_a_changed_byte_gives_a_session_or_a_weights_error():
    content, generator = linear_model()[0].SerializeToString(), np.random.default_rng(3)
    for _ in range(100):
        changed = bytearray(content)
        changed[generator.integers(len(content))] = generator.integers(256)
        try:
            assert isinstance(checked(bytes(changed), origin="m"), Signature)
        except WeightsError:
            continue


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(WeightsError, match="cannot read .*none.onnx: No such file"):
        open_session(tmp_path / "none.onnx", n_threads=1)


def test_a_session_opens_without_torch(tmp_path):
    file = tmp_path / "m.onnx"
    file.write_bytes(linear_model()[0].SerializeToString())
    code = (
        "import sys, pathlib, numpy\n"
        "from cvexp.inference.onnx_session import open_session\n"
        "session = open_session(pathlib.Path(sys.argv[1]), n_threads=1)\n"
        "answer = session.run(['logits'], {'images': numpy.zeros((3, 1, 8, 8), numpy.uint8)})[0]\n"
        "assert answer.shape == (3, 3) and not {'torch', 'mlflow', 'pandas'} & set(sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, file], env=child_environment(), capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
