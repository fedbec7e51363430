"""What the tests of serving share: a tiny ONNX file with the inputs and outputs of cvexp's, and a client in process."""

from __future__ import annotations

import asyncio
import io
import json
from dataclasses import dataclass

import numpy as np
from PIL import Image

CLASSES = ("ankle boot", "bag", "coat")
SHAPE = (1, 6, 4)


def write_model(path, *, classes=CLASSES, shape=SHAPE, seed=0, run_id="0123456789abcdef", fitting=None, **facts):
    """A linear classifier of uint8 images as an ONNX file; facts with a value of None are left out."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    n_pixels, n_classes = int(np.prod(shape)), len(classes)
    weights = np.random.default_rng(seed).normal(size=(n_pixels, n_classes)).astype(np.float32) / 100
    nodes = [
        helper.make_node("Cast", ["images"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["floats"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", *shape])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", n_classes])
            for name in ("logits", "probabilities")
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    known = {
        "cvexp.classes": json.dumps(classes),
        "cvexp.image_shape": json.dumps(shape),
        "cvexp.fitting": json.dumps(fitting or {"resize": "squeeze", "interpolation": "bilinear"}),
        "cvexp.transform": json.dumps({"mean": None, "std": None}),
        "cvexp.run_id": run_id,
        "cvexp.weights_sha256": "0" * 64,
        "cvexp.version": "0",
        **facts,
    }
    helper.set_model_props(model, {name: value for name, value in known.items() if value is not None})
    onnx.save(model, str(path))
    return weights


def png(pixels=None, *, size=(4, 6), mode="L", form="PNG"):
    """The bytes of an image file: of `pixels`, uint8 (H, W), or of noise."""
    if pixels is None:
        shape = (*size[::-1], 3) if mode == "RGB" else size[::-1]
        pixels = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, form)
    return stream.getvalue()


def npy(images):
    """The bytes of a .npy file."""
    stream = io.BytesIO()
    np.save(stream, images)
    return stream.getvalue()


def form(*files, boundary=b"XX", field="image"):
    """The body of multipart/form-data with (name, content) files."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="%b"; filename="%b"\r\nContent-Type: image/png\r\n\r\n%b\r\n'
        % (boundary, field.encode(), name.encode(), content)
        for name, content in files
    ]
    return b"".join(parts) + b"--%b--\r\n" % boundary


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


async def ask(app, path="/predict", *, method="POST", body=b"", kind="", pause=0.0, chunks=None, **headers):
    """One request to an ASGI application; `chunks` are sent one by one, with a pause after each."""
    sent = list(chunks if chunks is not None else [body])
    given = {"host": "localhost", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if kind:
        given["content-type"] = kind
    messages = []

    async def receive():
        if not sent:
            await asyncio.sleep(3600)
        await asyncio.sleep(pause)
        chunk = sent.pop(0)
        return {"type": "http.request", "body": chunk, "more_body": bool(sent)}

    async def send(message):
        messages.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in given.items()],
    }
    await app(scope, receive, send)
    start, *parts = messages
    found = {name.decode(): value.decode("latin-1") for name, value in start["headers"]}
    return Answer(start["status"], found, b"".join(part["body"] for part in parts))
