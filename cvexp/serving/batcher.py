"""Micro-batches: images that wait while a forward pass is under way go into the next one together."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cvexp.serving.limits import busy

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from cvexp.serving.limits import Limits
    from cvexp.serving.served import Served

    Logits = npt.NDArray[np.float32]


@dataclass(kw_only=True, slots=True, eq=False)
class _Waiting:
    served: Served
    images: npt.NDArray[np.uint8]
    answer: asyncio.Future[Logits]


class Batcher:
    """Runs forward passes one after the other in a thread of its own; it belongs to one event loop.

    `on_batch` is told of each the number of images and the seconds that it took.
    """

    def __init__(self, limits: Limits, *, on_batch: Callable[[int, float], None] = lambda _n, _seconds: None) -> None:
        self._limits, self._on_batch = limits, on_batch
        self._queue: deque[_Waiting] = deque()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="inference")
        self._is_running = self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self.n_waiting = 0

    async def logits(self, served: Served, images: npt.NDArray[np.uint8]) -> Logits:
        """Logits float32 (N, K) by `served` of images uint8 (N, C, H, W); Refusal while too many wait."""
        if self.n_waiting + len(images) > max(self._limits.max_waiting, len(images)):
            raise busy(f"{self.n_waiting:,} images wait for the model already")
        size, loop = self._limits.max_batch, asyncio.get_running_loop()
        parts = [
            _Waiting(served=served, images=images[start : start + size], answer=loop.create_future())
            for start in range(0, len(images), size)
        ]
        self._queue.extend(parts)
        self.n_waiting += len(images)
        self._schedule(loop)
        try:
            answers = [await part.answer for part in parts]
        finally:
            for part in parts:  # those of a request that was given up are left out; of those that failed, one is raised
                if not part.answer.cancel() and not part.answer.cancelled():
                    part.answer.exception()
        return answers[0] if len(answers) == 1 else np.concatenate(answers)

    def close(self) -> None:
        """End the thread, once its forward pass is done."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start a forward pass, after requests that are being read now, unless one is under way or may wait."""
        if self._is_running or self._is_due or not self._queue:
            return
        if self._limits.max_wait_ms and self.n_waiting < self._limits.max_batch:
            self._timer = self._timer or loop.call_later(self._limits.max_wait_ms / 1000, self._start, loop)
            return
        self._is_due = True
        loop.call_soon(self._start, loop)

    def _start(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._is_due = None, False
        if not self._is_running and (batch := self._next()):
            self._is_running = True
            done = loop.run_in_executor(self._thread, self._forward, batch)
            done.add_done_callback(lambda future: self._finish(loop, batch, future))

    def _next(self) -> list[_Waiting]:
        """The first that wait for one model, as many as a forward pass takes, without those that were given up."""
        batch: list[_Waiting] = []
        n_images = 0
        while self._queue:
            first = self._queue[0]
            other_model = batch and first.served is not batch[0].served
            if not first.answer.done() and (other_model or n_images + len(first.images) > self._limits.max_batch):
                break
            self._queue.popleft()
            self.n_waiting -= len(first.images)
            if not first.answer.done():
                batch.append(first)
                n_images += len(first.images)
        return batch

    def _forward(self, batch: list[_Waiting]) -> Logits:
        images = batch[0].images if len(batch) == 1 else np.concatenate([one.images for one in batch])
        began = time.perf_counter()
        logits = batch[0].served.logits(images)
        self._on_batch(len(images), time.perf_counter() - began)
        return logits

    def _finish(self, loop: asyncio.AbstractEventLoop, batch: list[_Waiting], future: asyncio.Future[Logits]) -> None:
        self._is_running = False
        error, first = future.exception(), 0
        for one in batch:
            last = first + len(one.images)
            if one.answer.done():
                pass
            elif error is not None:
                one.answer.set_exception(error)
            else:
                one.answer.set_result(future.result()[first:last])
            first = last
        self._schedule(loop)
