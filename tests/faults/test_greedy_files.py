"""Files that ask for more than they should: pictures for a program, weights for memory that they do not fill."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os

import pytest
import torch
from PIL import Image

from cvexp import checkpoint
from cvexp.data.images import read_image
from cvexp.errors import DatasetError
from cvexp.jobs import export
from cvexp.jobs.export_plan import Wanted
from tests.faults.answering import check_refusal

EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n0 0 8 8 rectfill\nshowpage\n%%EOF\n"


@pytest.fixture
def interpreter(tmp_path, monkeypatch):
    """A stand-in for Ghostscript, the PostScript interpreter, that leaves a mark when it is started."""
    from PIL import EpsImagePlugin

    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin" / "gs"
    program.write_text(f"#!/bin/sh\ntouch '{tmp_path / 'marker'}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # or it remembers that there is none
    return tmp_path / "marker"


def test_the_stand_in_would_be_started_where_postscript_is_opened(interpreter, tmp_path):
    with contextlib.suppress(OSError), Image.open(io.BytesIO(EPS)) as image:
        image.load()
    assert interpreter.exists()


def test_postscript_that_is_called_a_photo_runs_no_interpreter(interpreter, lab, cvexp, tmp_path):
    (tmp_path / "shoe.jpg").write_bytes(EPS)
    refused = cvexp("predict", lab.runs["linear"].run_id, str(tmp_path / "shoe.jpg"))
    check_refusal(refused.code, refused.stdout, refused.stderr, "shoe.jpg", "PNG, JPEG, BMP, GIF, TIFF and WebP")
    assert not interpreter.exists()


@pytest.mark.parametrize("kind", ["EPS", "PPM", "TGA", "PCX", "ICO", "JPEG2000", "PDF", "SGI"])
def test_a_format_that_is_not_documented_is_refused_whatever_the_file_is_called(kind, tmp_path):
    Image.new("L", (32, 32)).save(tmp_path / "shoe.png", kind)
    with pytest.raises(DatasetError, match="not an image"):
        read_image(tmp_path / "shoe.png", (1, 8, 8))


N_HIDDEN = 200_000


class FromCopy:
    """Unpickled as a copy of the tensor in another type; torch counts that among what weights may do."""

    def __init__(self, tensor):
        self.tensor = tensor

    def __reduce__(self):
        rebuild = torch._utils._rebuild_device_tensor_from_cpu_tensor
        return rebuild, (self.tensor, torch.float32, "cpu", False)


def one_value(*shape):
    """A tensor of `shape` of which one value is stored."""
    return torch.zeros(1).expand(*shape)


def as_views(weight, bias):
    return {"1.weight": weight, "1.bias": bias, "2.weight": one_value(10, N_HIDDEN), "2.bias": torch.zeros(10)}


def rows_twice(rows):
    layers = as_views(rows.as_strided((N_HIDDEN, 64), (64, 1)), rows[:N_HIDDEN])
    return {**layers, "2.weight": rows.as_strided((10, N_HIDDEN), (N_HIDDEN, 1))}


SWOLLEN = {
    "one value": lambda: as_views(one_value(N_HIDDEN, 64), one_value(N_HIDDEN)),
    "overlapping rows": lambda: as_views(torch.zeros(N_HIDDEN).as_strided((N_HIDDEN, 64), (1, 0)), one_value(N_HIDDEN)),
    "copies": lambda: {
        name: FromCopy(tensor.double())
        for name, tensor in as_views(one_value(N_HIDDEN, 64).half(), one_value(N_HIDDEN).half()).items()
    },
    "the same rows twice": lambda: rows_twice(torch.zeros(N_HIDDEN * 64)),
}


def with_card(file, content, lab, **spec):
    """Write `content` and a card that fits it, as somebody would who wants the file to be read."""
    kind = "safetensors" if file.suffix == ".safetensors" else "state-dict"
    wanted = Wanted(formats=(kind,), out=file)
    export.run(lab.runs["linear"].run_id, lab.settings, data_dir=file.parent, wanted=wanted)
    card = json.loads(file.with_name(f"{file.name}.json").read_text())
    file.write_bytes(content)
    card["spec"] |= {"weights_sha256": hashlib.sha256(content).hexdigest(), **spec}
    file.with_name(f"{file.name}.json").write_text(json.dumps(card))


@pytest.mark.parametrize("how", SWOLLEN)
def test_weights_whose_tensors_are_larger_than_what_is_stored_of_them_are_refused(how, lab, cvexp, tmp_path):
    buffer = io.BytesIO()
    torch.save(SWOLLEN[how](), buffer)
    with_card(tmp_path / "m.pt", buffer.getvalue(), lab, hidden_units=N_HIDDEN)
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    refused = cvexp("predict", str(tmp_path / "m.pt"), str(tmp_path / "x.png"))
    check_refusal(refused.code, refused.stdout, refused.stderr, "m.pt", "holds")


def test_parameters_that_two_layers_share_are_no_reason_to_refuse_them(tmp_path):
    shared = torch.arange(6.0).reshape(2, 3)
    digest = checkpoint.write(
        tmp_path / "m.pt", checkpoint.serialised({"a": shared, "b": shared, "c": {"d": [shared.t()]}})
    )
    read = checkpoint.load(tmp_path / "m.pt", sha256=digest)
    assert torch.equal(read["b"], shared)
    assert torch.equal(read["c"]["d"][0], shared.t())


def test_a_buffer_that_a_model_has_expanded_is_written_out_and_read_back(tmp_path):
    state = {"fit": {"model": {"scale": one_value(3, 4)}, "others": [torch.ones(2), 5]}}
    read = checkpoint.load(tmp_path / "m.pt", sha256=checkpoint.write(tmp_path / "m.pt", checkpoint.serialised(state)))
    assert torch.equal(read["fit"]["model"]["scale"], torch.zeros(3, 4))
    assert read["fit"]["others"][1] == 5


def header(**tensors):
    """A safetensors file that is nothing but its header, and ten zeros."""
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text + bytes(40)


HEADERS = {
    "longer than the file": (2**60).to_bytes(8, "little") + b"{}",
    "a huge tensor": header(**{"1.weight": {"dtype": "F32", "shape": [2**31, 2**10], "data_offsets": [0, 2**43]}}),
    "a huge shape of few bytes": header(
        **{"1.weight": {"dtype": "F32", "shape": [N_HIDDEN, 64], "data_offsets": [0, 40]}}
    ),
    "a shape that overflows": header(
        **{"1.weight": {"dtype": "F32", "shape": [2**62, 2**62], "data_offsets": [0, 40]}}
    ),
    "two tensors in one place": header(
        **{name: {"dtype": "F32", "shape": [10], "data_offsets": [0, 40]} for name in ("1.bias", "2.bias")}
    ),
    "a type of half a byte": header(**{"1.weight": {"dtype": "F4", "shape": [80], "data_offsets": [0, 40]}}),
}


@pytest.mark.parametrize("how", HEADERS)
def test_a_safetensors_header_that_claims_more_than_the_file_holds_is_refused(how, lab, cvexp, tmp_path):
    with_card(tmp_path / "m.safetensors", HEADERS[how], lab)
    Image.new("L", (8, 8)).save(tmp_path / "x.png")
    refused = cvexp("predict", str(tmp_path / "m.safetensors"), str(tmp_path / "x.png"))
    check_refusal(refused.code, refused.stdout, refused.stderr, "m.safetensors")
