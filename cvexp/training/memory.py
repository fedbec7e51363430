"""Peak memory of the process and of the device during a training."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import torch

from cvexp import process
from cvexp.results import Metric

if TYPE_CHECKING:
    from cvexp.device import Device

_RESET_PEAK = "5"  # proc(5), clear_refs


def reset_peaks(device: Device) -> None:
    """Let peaks count from now on, where the process is cvexp's own and the system can; else they count from its start.

    Another program that trains through the Python API may watch its own peak.
    """
    if not process.is_own():
        return
    with contextlib.suppress(OSError):
        (process.PROCESS / "clear_refs").write_text(_RESET_PEAK)
    if device.torch.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device.torch)


def peak_bytes(device: Device) -> dict[str, float]:
    """By metric key: the largest resident memory of the process, and the most that tensors held on a CUDA device."""
    found: dict[str, float] = {}
    resident = process.resident_peak()
    if resident:
        found[Metric.PROCESS_PEAK_BYTES.value] = float(resident)
    if device.torch.type == "cuda":
        found[Metric.DEVICE_PEAK_BYTES.value] = float(torch.cuda.max_memory_allocated(device.torch))
    return found
