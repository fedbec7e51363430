from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import pytest
import torch

from cvexp import checkpoint
from cvexp.errors import WeightsError

STATE = {"weight": torch.arange(6.0).reshape(2, 3), "steps": torch.tensor([3]), "note": "x", "deep": {"rate": 0.5}}


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def bare(value):
    return pickle.dumps(value, protocol=2)


def zipped(value):
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "weights.pt"
    return path, checkpoint.write(path, checkpoint.serialised(STATE))


def test_what_was_saved_is_read_back_value_for_value(saved):
    path, digest = saved
    state = checkpoint.load(path, sha256=digest)
    assert list(state) == list(STATE)
    for name in ("weight", "steps"):
        assert state[name].dtype == STATE[name].dtype
        assert torch.equal(state[name], STATE[name])
    assert (state["note"], state["deep"]) == ("x", {"rate": 0.5})


def test_the_digest_is_that_of_the_file(saved):
    path, digest = saved
    assert digest == sha256(path.read_bytes())


@pytest.mark.parametrize("where", [0.0, 0.25, 0.5, 0.75, 1.0])
@pytest.mark.parametrize("bit", [1, 128])
def test_one_flipped_bit_is_refused_before_anything_is_parsed(saved, monkeypatch, where, bit):
    path, digest = saved
    content = bytearray(path.read_bytes())
    content[int(where * (len(content) - 1))] ^= bit
    path.write_bytes(content)
    monkeypatch.setattr(torch, "load", lambda *_, **__: pytest.fail("parsed"))
    with pytest.raises(WeightsError, match="damaged or altered") as caught:
        checkpoint.load(path, sha256=digest)
    complaint, remedy = caught.value.lines()
    assert str(path) in complaint
    assert digest[:16] in remedy


@pytest.mark.parametrize("kept", [0, 1, -1])
def test_a_file_cut_short_is_refused(saved, kept):
    path, digest = saved
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(WeightsError, match="damaged or altered"):
        checkpoint.load(path, sha256=digest)


@pytest.mark.parametrize("name", ["absent.pt", "."])
def test_what_cannot_be_read_is_named(tmp_path, name):
    with pytest.raises(WeightsError, match="cannot read") as caught:
        checkpoint.load(tmp_path / name, sha256="0" * 64)
    assert str(tmp_path / name) in caught.value.what


class Live:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return Path.touch, (self.marker,)


@pytest.mark.parametrize("pack", [zipped, bare], ids=["torch file", "bare pickle"])
def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path, pack):
    marker = tmp_path / "ran"
    content = pack({"weight": Live(marker)})
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="read safely"):
        checkpoint.load(path, sha256=sha256(content))
    assert not marker.exists()
    torch.load(path, weights_only=False) if pack is zipped else pickle.loads(content)
    assert marker.exists(), "the pickle was live"


CUT_SHORT = pickle.dumps({"rate": 0.5}, protocol=2)[:-3]


@pytest.mark.parametrize("content", [b"", b"not weights", b"PK\x03\x04", bare(STATE["deep"])[:-1], CUT_SHORT])
def test_a_file_that_holds_no_weights_is_refused_even_when_its_digest_is_right(tmp_path, content):
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="read safely"):
        checkpoint.load(path, sha256=sha256(content))


@pytest.mark.parametrize("value", [[torch.ones(2)], torch.ones(2)], ids=["list", "Tensor"])
def test_tensors_without_names_are_no_state_dict(tmp_path, value):
    path = tmp_path / "weights.pt"
    content = zipped(value)
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=type(value).__name__):
        checkpoint.load(path, sha256=sha256(content))


def test_a_second_save_takes_the_first_ones_place(saved):
    path, old = saved
    new = checkpoint.write(path, checkpoint.serialised({"weight": torch.zeros(1)}))
    assert list(path.parent.iterdir()) == [path]
    assert checkpoint.load(path, sha256=new)["weight"].tolist() == [0]
    with pytest.raises(WeightsError):
        checkpoint.load(path, sha256=old)
