"""How a model is called, as a model card says it: on the command line, and in Python."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cvexp.report.model_card.markup import block
from cvexp.text import clean

if TYPE_CHECKING:
    from cvexp.jobs.model_card import CardFile, ModelFacts
    from cvexp.models.spec import ModelSpec

MODES = {1: "L", 3: "RGB"}
"""Pillow's modes, by channels."""


def how_to_call(facts: ModelFacts) -> str:
    """The command, then Python without cvexp where there is an ONNX file, and with it where there are weights."""
    kinds = {one.kind: one for one in reversed(facts.files)}
    parts = []
    if facts.files:
        command = shlex.join(["cvexp", "predict", clean(facts.files[0].name)])
        parts.append(block("bash", f"{command} IMAGE"))
    if (one := kinds.get("onnx") or kinds.get("onnx-int8")) and facts.card.spec.image_shape[0] in MODES:
        parts.append(block("python", _onnx(one, facts.card.spec)))
    if one := kinds.get("state-dict") or kinds.get("safetensors"):
        parts.append(block("python", _torch(one, facts.card.spec)))
    return "\n\n".join(parts)


def _onnx(file: CardFile, spec: ModelSpec) -> str:
    """Pillow's filters are antialiased, as those that the images were fitted with."""
    channels, height, width = spec.image_shape
    axes = "[None, None]" if channels == 1 else ".transpose(2, 0, 1)[None]"
    size, method = f"({width}, {height})", f"Image.Resampling.{spec.fitting.interpolation.upper()}"
    fitted = {
        "squeeze": f"image.resize({size}, {method})",
        "crop": f"ImageOps.fit(image, {size}, {method})",
        "pad": f"ImageOps.pad(image, {size}, {method})",
    }[spec.fitting.resize]
    names = "[" + ", ".join(ascii(clean(name)) for name in spec.class_names) + "]"
    return f"""import numpy as np
import onnxruntime
from PIL import Image, ImageOps

names = {names}
session = onnxruntime.InferenceSession({clean(file.name)!a})
image = Image.open("IMAGE").convert({MODES[channels]!r})
image = {fitted}
images = np.asarray(image){axes}  # uint8 (N, {channels}, {height}, {width})
logits, probabilities = session.run(["logits", "probabilities"], {{"images": images}})
print(names[probabilities[0].argmax()], probabilities[0].max())"""


def _torch(file: CardFile, spec: ModelSpec) -> str:
    shape = ", ".join(map(str, spec.image_shape))
    lines = [
        "import torch",
        "",
        "import cvexp",
        "",
        f"model = cvexp.load_model({clean(file.name)!a})  # a torch.nn.Module",
        f"images = torch.zeros(1, {shape}, dtype=torch.uint8)  # yours",
        "floats = images.float() / 255",
    ]
    if spec.transform.mean is not None:
        mean, std = ([*values] for values in (spec.transform.mean, spec.transform.std or ()))
        lines.append(f"floats = (floats - torch.tensor({mean}).view(-1, 1, 1)) / torch.tensor({std}).view(-1, 1, 1)")
    lines += ["with torch.inference_mode():", "    probabilities = model(floats).softmax(1)"]
    return "\n".join(lines)
