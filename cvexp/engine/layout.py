"""The layout of a model on its device: how many threads, which memory format. Rules over sizes, never timings.

A rule that timed the machine would choose differently from run to run, and with another count of threads sums come
out in another order: one seed would no longer give one history. So the thresholds were measured once, by
`python -m benchmarks scaling` and `course`, and the rules only look at the model. The exception is a start on a machine
whose CPUs other programs use: threads that wait for each other at every operator are many times slower when one of them
has no core (`python -m benchmarks contention`). The policy then names the lower maximum.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

from cvexp.device import keep_freed_pages
from cvexp.inference.predictor import images_per_batch
from cvexp.models.summary import layer_macs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cvexp.device import Device
    from cvexp.machine import Occupancy

MACS_WORTH_A_THREAD = 2_000_000
"""Multiply-accumulates in one forward pass of a batch below which a second thread costs more than it brings."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """The layout of a model on its device.

    Attributes:
        threads: CPU threads for one operation of a step.
        evaluation_threads: CPU threads for one operation on an evaluation's larger batches.
        memory_format: `contiguous` or `channels_last`.
        policy: Threads as a comparison should see them: the number where it was asked for, else the rule's name.
        fewer: What was taken into account and why, where there are fewer threads than on an idle machine; else empty.
    """

    threads: int
    evaluation_threads: int
    memory_format: str
    policy: str
    fewer: str = ""


def choose_layout(
    model: nn.Module,
    image_shape: Sequence[int],
    *,
    batch_size: int,
    device: Device,
    n_threads: int | None,
    channels_last: str = "auto",
    others: Occupancy | None = None,
) -> Layout:
    """Choose the layout of `model` on `device`.

    Args:
        model: On the CPU.
        image_shape: (C, H, W).
        batch_size: Images per step.
        device: Where it will be.
        n_threads: What the user asked for; None leaves it to the rule.
        channels_last: `always`, `never`, or `auto` for convolutions on a CPU.
        others: What other programs use now; None where that is not known, or does not count.
    """
    on_cpu = device.torch.type == "cpu"
    is_last = channels_last == "always"
    if channels_last == "auto":
        is_last = on_cpu and any(isinstance(module, nn.Conv2d) for module in model.modules())
    available, fewer = device.threads, ""
    if others is not None and on_cpu and n_threads is None and others.n_free < available:
        available = others.n_free
        fewer = f"{others}, so at most {available} of {device.threads} threads are used"
    policy = f"by model size, at most {available}" + (f" of {device.threads} on a busy machine" if fewer else "")
    chosen = evaluating = n_threads or available
    if on_cpu and n_threads is None:
        macs = layer_macs(model, image_shape)
        chosen = 1 if batch_size * macs < MACS_WORTH_A_THREAD else available
        at_once = images_per_batch(model, image_shape, device.torch)
        evaluating = min(available, 1 + at_once * macs // MACS_WORTH_A_THREAD)
    return Layout(
        threads=chosen,
        evaluation_threads=evaluating,
        memory_format="channels_last" if is_last else "contiguous",
        policy=policy if n_threads is None else str(n_threads),
        fewer=fewer,
    )


def apply_layout(model: nn.Module, layout: Layout) -> nn.Module:
    """The model in its memory format, the same values in another order; memory that freed tensors leave is kept."""
    keep_freed_pages()
    if layout.memory_format == "channels_last":
        return model.to(memory_format=torch.channels_last)
    return model
