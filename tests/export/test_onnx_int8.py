"""int8 files answer what the fp32 model does up to rounding, in the same form, and say that they are quantized."""

from __future__ import annotations

from dataclasses import replace

import onnx
import pytest
import torch

from cvexp.data.dataset import load
from cvexp.data.registry import find_spec
from cvexp.export.formats import ExportOptions, exporter_of
from cvexp.inference.predictor import TorchPredictor
from cvexp.models.registry import build, find_entry
from cvexp.models.spec import ModelSpec

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return load(find_spec("digits"), tmp_path_factory.mktemp("data"))


def fitted(name, digits, *, steps=60):
    """A model that was trained for some steps, and its specification."""
    torch.manual_seed(0)
    model = build(find_entry(name), image_shape=(1, 8, 8), n_classes=10, hidden_units=10, model_args={})
    spec = ModelSpec(
        model=name,
        model_args={},
        hidden_units=10,
        image_shape=(1, 8, 8),
        class_names=digits.class_names,
        dataset="digits",
        dataset_digest=digits.digest,
        weights_sha256="",
    )
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for start in range(0, 64 * steps, 64):
        rows = torch.arange(start, start + 64) % len(digits.train)
        images, labels = digits.train.images[rows], digits.train.labels[rows]
        loss = torch.nn.functional.cross_entropy(model(spec.transform(images)), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval(), spec


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("mlp", False),
        ("mlp", True),
        ("tinyvgg", False),
        ("tinyvgg", True),
        ("torchvision:resnet18", False),
        pytest.param("torchvision:resnet18", True, marks=pytest.mark.campaign),
    ],
)
def test_an_int8_file_classifies_as_the_model_it_comes_from(tmp_path, digits, name, raw, capfd):
    model, spec = fitted(name, digits)
    path = tmp_path / "m.onnx"
    options = ExportOptions(raw=raw, calibration=digits.train.images[:200])
    spec = replace(spec, weights_sha256=exporter_of("onnx").write(path, model, spec, options=options))
    assert capfd.readouterr() == ("", "")
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    assert {one.key: one.value for one in proto.metadata_props}["cvexp.quantized"] == "int8"
    weights = [one for one in proto.graph.initializer if len(one.dims) > 1 and one.data_type == onnx.TensorProto.INT8]
    assert weights
    assert max(abs(onnx.numpy_helper.to_array(one).astype(int)).max() for one in weights) <= 64  # else CPUs saturate
    predictor, images = exporter_of("onnx").read(path, spec, device=CPU), digits.test.images
    wanted, found = TorchPredictor(model, spec.transform, CPU).logits(images), predictor.logits(images)
    assert not torch.equal(wanted, found)
    assert float((wanted.argmax(1) == found.argmax(1)).float().mean()) > 0.97
    assert torch.allclose(predictor.probabilities(images), found.softmax(1), atol=1e-5)
