"""Times calls on one device, and notes how long the process waited for a core meanwhile."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from cvexp.contention import CpuMeter

    Call = Callable[[], object]
    """One prediction of one batch; on a GPU it only queues the work."""

MILLISECOND = 1e-3


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Block:
    """Calls that followed each other.

    Attributes:
        calls: float64 (n,), seconds of each call, until its logits are there.
        seconds_per_call: Of as many calls without a wait between them; on a CPU the mean of `calls`.
        waited: Share of the block's wall-clock time that it waited for a core, in [0, 1].
    """

    calls: npt.NDArray[np.float64]
    seconds_per_call: float
    waited: float


class Watch(Protocol):
    """What the procedure measures with."""

    def now(self) -> float:
        """Monotonic seconds."""
        ...

    def first(self, call: Call) -> float:
        """Seconds of one call."""
        ...

    def block(self, call: Call, *, seconds: float) -> Block:
        """Call again and again for at least `seconds`, and at least once."""
        ...


class Stopwatch:
    """The watch for a device, and for calls that use `n_threads` CPU threads."""

    def __init__(self, device: torch.device, meter: CpuMeter, *, n_threads: int) -> None:
        self._device, self._meter, self._n_threads = device, meter, n_threads
        self.now = time.perf_counter

    def first(self, call: Call) -> float:
        """See Watch."""
        self._synchronize()
        start = self.now()
        call()
        self._synchronize()
        return self.now() - start

    def block(self, call: Call, *, seconds: float) -> Block:
        """See Watch; nothing but the calls and the clock lies between two stamps."""
        on_cpu, now, synchronize = self._device.type == "cpu", self.now, self._synchronize
        synchronize()
        before = self._meter.read()
        stamps = [now()]
        end = stamps[0] + seconds
        while stamps[-1] < end or len(stamps) == 1:
            call()
            if not on_cpu:
                synchronize()
            stamps.append(now())
        calls = np.diff(stamps)
        queued = float(calls.mean()) if on_cpu else self._queued(call, len(calls))
        used = before.until(self._meter.read())
        return Block(calls=calls, seconds_per_call=queued, waited=used.waited_share(self._n_threads))

    def _queued(self, call: Call, n_calls: int) -> float:
        """Seconds a call of `n_calls` that are queued without a wait; CUDA's own events where there are some."""
        if self._device.type != "cuda":
            start = self.now()
            for _ in range(n_calls):
                call()
            self._synchronize()
            return (self.now() - start) / n_calls
        with torch.cuda.device(self._device):
            events = [torch.cuda.Event(enable_timing=True) for _ in range(2)]  # type: ignore[no-untyped-call]
            start_event, end_event = events
            start_event.record()
            for _ in range(n_calls):
                call()
            end_event.record()
            end_event.synchronize()
            return float(start_event.elapsed_time(end_event)) * MILLISECOND / n_calls

    def _synchronize(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()
