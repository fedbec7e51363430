"""Files that cannot be served are refused with what is wrong."""

from __future__ import annotations

import json

import pytest

from cvexp.errors import WeightsError
from cvexp.serving.served import load
from tests.serving.made import CLASSES, SHAPE, write_model

WRONG = {
    "classes": [None, "no JSON", "{}", "[]", "[1, 2, 3]", '["a", "b"]', json.dumps(["a"] * 4)],
    "image_shape": [None, "[]", "[1, 6]", "[1, 6, -4]", "[1, 6, 4.0]", "[true, 6, 4]", "[1, 6, 99999999]", "[1, 4, 6]"],
    "fitting": [None, "[]", "{}", '{"resize": "crop"}', '{"resize": "stretch", "interpolation": "bilinear"}',
                '{"resize": "crop", "interpolation": "bilinear", "more": 1}', '{"resize": [], "interpolation": {}}'],
}  # fmt: skip


@pytest.mark.parametrize(("fact", "value"), [(fact, value) for fact, values in WRONG.items() for value in values])
def test_a_file_that_does_not_say_how_to_use_it_is_refused(tmp_path, fact, value):
    write_model(tmp_path / "wrong.onnx", **{f"cvexp.{fact}": value})
    with pytest.raises(WeightsError, match=r"wrong\.onnx") as raised:
        load(tmp_path / "wrong.onnx", name="wrong", n_threads=1)
    assert len(raised.value.lines()) <= 3


def test_a_file_says_classes_shape_and_fitting(served):
    assert (served.class_names, served.image_shape, served.fitting.resize) == (CLASSES, SHAPE, "squeeze")
    assert served.run_id == "0123456789abcdef"
