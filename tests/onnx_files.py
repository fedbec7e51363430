"""Small ONNX files in the form that cvexp writes, made without torch's exporter, which takes seconds."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SHAPE, N_CLASSES = (1, 8, 8), 3


def linear_model(*, extra_nodes=(), outputs=("logits", "probabilities"), batch="batch", dtype=TensorProto.UINT8):
    """A linear classifier of 8x8 images as a ModelProto, and its float32 weights (K, 64)."""
    weights = np.random.default_rng(0).normal(size=(N_CLASSES, 64)).astype(np.float32)
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Div", ["floats", "scale"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["flat"]),
        helper.make_node("Gemm", ["flat", "weights"], ["logits"], transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        *extra_nodes,
    ]
    graph = helper.make_graph(
        nodes,
        "main",
        [helper.make_tensor_value_info("images", dtype, [batch, *SHAPE])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, N_CLASSES]) for name in outputs],
        [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.float32(255), "scale")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), weights
