"""An OpenVINO IR of a stranger is read as what cvexp writes, or refused, before OpenVINO sees it."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from cvexp.errors import WeightsError
from cvexp.inference.openvino_ir import checked

WEIGHTS = 3 * 4 * 4 + 8
LINEAR = """<?xml version="1.0"?>
<net name="main" version="11">
  <layers>
    <layer id="0" name="images" type="Parameter" version="opset1">
      <data shape="?,1,2,2" element_type="u8" />
      <output><port id="0" precision="U8" names="images,other"><dim>-1</dim><dim>1</dim></port></output>
    </layer>
    <layer id="1" name="/home/someone/model.py" type="Convert" version="opset1">
      <data destination_type="f32" />
      <input><port id="0" precision="U8" /></input>
      <output><port id="1" precision="FP32" names="floats" /></output>
    </layer>
    <layer id="2" name="weight" type="Const" version="opset1">
      <data element_type="f32" shape="3, 4" offset="8" size="48" />
      <output><port id="0" precision="FP32" /></output>
    </layer>
    <layer id="3" name="product" type="MatMul" version="opset1">
      <data transpose_a="false" transpose_b="true" />
      <input><port id="0" precision="FP32" /><port id="1" precision="FP32" /></input>
      <output><port id="2" precision="FP32" names="logits" /></output>
    </layer>
    <layer id="4" name="end" type="Result" version="opset1" output_names="logits">
      <input><port id="0" precision="FP32" /></input>
    </layer>
  </layers>
  <edges>
    <edge from-layer="0" from-port="0" to-layer="1" to-port="0" />
    <edge from-layer="1" from-port="1" to-layer="3" to-port="0" />
    <edge from-layer="2" from-port="0" to-layer="3" to-port="1" />
    <edge from-layer="3" from-port="2" to-layer="4" to-port="0" />
  </edges>
  <rt_info><info name="OpenVINO Runtime" value="2026" /></rt_info>
</net>
"""


def test_layers_constants_and_edges_stay_and_names_and_notes_do_not():
    plain = checked(LINEAR.encode(), WEIGHTS, origin="m")
    assert checked(plain, WEIGHTS, origin="m") == plain
    net = ET.fromstring(plain)  # noqa: S314 - written a line above
    kinds = [layer.get("type") for layer in net.iter("layer")]
    assert kinds == ["Parameter", "Convert", "Const", "MatMul", "Result"]
    assert [port.get("names") for port in net.iter("port") if port.get("names")] == ["images", "logits"]
    assert net.find("./layers/layer[@type='Const']/data").attrib == {
        "element_type": "f32",
        "shape": "3, 4",
        "offset": "8",
        "size": "48",
    }
    assert len(net.findall("./edges/edge")) == 4
    assert not [word for word in (b"root", b"rt_info", b"weight", b"floats") if word in plain]


DEEP = "<user_data>" * 50_000 + "</user_data>" * 50_000
REFUSED = {
    "weights beyond the file": ('offset="8"', 'offset="9"', "a constant has 12 elements of type 'f32', and 48 bytes"),
    "an offset that overflows": ('offset="8"', 'offset="18446744073709551608"', "the text"),
    "a negative offset": ('offset="8"', 'offset="-8"', "the text"),
    "a shape that overflows": ('shape="3, 4"', 'shape="4611686018427387904, 4"', "the text"),
    "more elements than bytes": ('shape="3, 4"', 'shape="3000, 4000"', "a constant has 12,000,000 elements"),
    "fewer elements than bytes": ('shape="3, 4"', 'shape="3"', "a constant has 3 elements"),
    "text": ('element_type="f32"', 'element_type="string"', "of type 'string'"),
    "a constant without values": (
        '<data element_type="f32" shape="3, 4" offset="8" size="48" />',
        "",
        "a constant without values",
    ),
    "a layer of an extension": ('type="MatMul"', 'type="Mine"', "the layer 'Mine'"),
    "a loop": ('type="MatMul"', 'type="TensorIterator"', "the layer 'TensorIterator'"),
    "random numbers": ('type="MatMul"', 'type="RandomUniform"', "the layer 'RandomUniform'"),
    "another operator set": ('type="MatMul" version="opset1"', 'type="MatMul" version="extension"', "the text"),
    "a path": ('transpose_a="false"', 'transpose_a="../secret"', "the text '../secret'"),
    "a giant number": ('transpose_a="false"', 'axis="99999999999"', "the text '99999999999'"),
    "a deep note": ('value="2026" />', f'value="2026">{DEEP}</info>', "nested too deeply"),
    "a document type": ("<net name", '<!DOCTYPE net [<!ENTITY a "b">]><net name', "the document type 'net'"),
    "another version": ('version="11"', 'version="10"', "is of another version"),
    "another part": ("<rt_info>", "<pre-process/><rt_info>", "the part 'pre-process'"),
    "a layer twice": ('<layer id="3"', '<layer id="2"', "the layer 2 twice"),
    "an edge backwards": ('from-layer="0" from-port="0"', 'from-layer="3" from-port="2"', "from layer 3 to layer 1"),
    "an edge from nowhere": ('from-layer="0"', 'from-layer="77"', "from layer 77 to layer 1"),
    "an input with two edges": ('to-layer="3" to-port="1"', 'to-layer="3" to-port="0"', "from layer 2 to layer 3"),
    "an input without an edge": ('<edge from-layer="2" from-port="0" to-layer="3" to-port="1" />', "", "have no edge"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_anything_else_is_refused_in_three_lines(name):
    old, new, reason = REFUSED[name]
    assert LINEAR.count(old) >= 1
    with pytest.raises(WeightsError) as caught:
        checked(LINEAR.replace(old, new, 1).encode(), WEIGHTS, origin="m.openvino")
    assert caught.value.what.startswith("m.openvino is not an OpenVINO file as cvexp writes them: ")
    assert reason in caught.value.what
    assert len(caught.value.lines()) <= 3


@pytest.mark.parametrize("xml", [b"", b"\x80\x04.", LINEAR[:900].encode(), b"<net/>" * 2, LINEAR.encode("utf-16")[:99]])
def test_what_is_no_ir_is_refused(xml):
    with pytest.raises(WeightsError, match=r"m is no OpenVINO file, or is damaged"):
        checked(xml, WEIGHTS, origin="m")


def test_an_attribute_of_many_parts_is_refused_at_once():
    long = LINEAR.replace('transpose_a="false"', f'pads="{"-1," * 100_000}%"')
    with pytest.raises(WeightsError, match="the text"):
        checked(long.encode(), WEIGHTS, origin="m")
