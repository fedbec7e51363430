from __future__ import annotations

import pytest
import torch

from cvexp import process
from cvexp.device import choose
from cvexp.training.memory import peak_bytes, reset_peaks

KEY = "memory/process_peak_bytes"


def test_the_peak_covers_what_this_process_just_held():
    held = torch.ones(64 * 2**20, dtype=torch.uint8)
    found = peak_bytes(choose("cpu"))
    assert found.keys() == {KEY}
    assert len(held) < found[KEY] < 64 * 2**30


def test_linux_counts_in_kib_and_without_the_parent(monkeypatch, tmp_path):
    monkeypatch.setattr(process, "PROCESS", tmp_path)
    (tmp_path / "status").write_text("VmPeak:\t  900 kB\nVmHWM:\t    123 kB\nVmRSS:\t   50 kB\n")
    assert peak_bytes(choose("cpu"))[KEY] == 123 * 1024


@pytest.mark.parametrize(("platform", "unit"), [("linux", 1024), ("darwin", 1)])
def test_elsewhere_the_unit_is_the_platforms(monkeypatch, tmp_path, platform, unit):
    import resource

    class Usage:
        ru_maxrss = 5000

    monkeypatch.setattr(process, "PROCESS", tmp_path / "none")
    monkeypatch.setattr(process.sys, "platform", platform)
    monkeypatch.setattr(resource, "getrusage", lambda _who: Usage)
    assert peak_bytes(choose("cpu"))[KEY] == 5000 * unit


@pytest.mark.parametrize("own", [True, False])
def test_only_cvexps_own_process_starts_counting_anew(monkeypatch, tmp_path, own):
    monkeypatch.setattr(process, "PROCESS", tmp_path)
    monkeypatch.setattr(process, "is_own", lambda: own)
    reset_peaks(choose("cpu"))
    assert (tmp_path / "clear_refs").exists() is own


@pytest.mark.skipif(not (process.PROCESS / "clear_refs").exists(), reason="this system cannot reset the peak")
def test_a_peak_of_before_does_not_count(monkeypatch):
    monkeypatch.setattr(process, "is_own", lambda: True)
    held = torch.ones(256 * 2**20, dtype=torch.uint8)
    before = peak_bytes(choose("cpu"))[KEY]
    del held
    reset_peaks(choose("cpu"))
    assert peak_bytes(choose("cpu"))[KEY] < before - 100 * 2**20


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA here")
def test_the_device_has_a_peak_of_its_own():
    device = choose("cuda")
    held = torch.ones(2**20, device=device.torch)
    assert peak_bytes(device)["memory/device_peak_bytes"] >= held.numel() * 4
