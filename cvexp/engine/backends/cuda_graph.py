"""Steps on a CUDA GPU as one graph: the host says "again" once a step, and sends nothing.

A small model's step is dozens of kernels of a few microseconds each, and launching them from Python takes longer than
running them. The whole step, gather and update included, is captured once; it finds its images by a position that
lives on the device and moves on by itself. It is not what `auto` takes: its steps have yet to be compared with eager
ones on a GPU. After "Accelerating PyTorch with CUDA Graphs" (pytorch.org/blog).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cvexp.engine.backends.eager import EagerSteps
from cvexp.engine.loss import n_correct
from cvexp.engine.state import Unsupported
from cvexp.engine.step import train_step

if TYPE_CHECKING:
    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState

WARM_UP_STEPS = 3
"""Real steps run before the capture, so that libraries choose their kernels and the allocator settles."""


class CudaGraphSteps:
    """Replays the steps of an epoch from a CUDA graph; the first few, and a short last one, run eagerly.

    Learning rate and step count are read from the device's memory, so that the graph stays valid when they change.

    Args:
        state: On a CUDA device.
        source: The training images, resident on the same device.
        batch_size: Images per step.

    Raises:
        Unsupported: The device is not CUDA, its memory does not hold the images, or there is less than a whole batch.
    """

    name = "cuda-graph"

    def __init__(self, state: TrainState, source: BatchSource, *, batch_size: int) -> None:
        device = source.device
        if device.type != "cuda":
            raise Unsupported(f"CUDA graphs need a CUDA device, and this is {device.type}")
        if not source.is_resident:
            raise Unsupported("CUDA graphs need all images in the device's memory, and none augmented")
        if len(source) < batch_size:
            raise Unsupported("there is less than one whole batch")
        self.state, self.source, self._batch_size = state, source, batch_size
        self._eager = EagerSteps(state, source, batch_size=batch_size)
        self._order = torch.arange(len(source), device=device)
        self._losses = torch.zeros(-(-len(source) // batch_size), device=device)
        self._n_correct = torch.zeros((), dtype=torch.int64, device=device)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        self._within = torch.arange(batch_size, device=device)
        self._lr = torch.zeros((), dtype=torch.float64, device=device)
        self._n_steps = torch.zeros((), dtype=torch.float64, device=device)
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._graph: torch.cuda.CUDAGraph | None = None
        self._trained: list[int] = []
        self._n_warm = 0

    def run(self, order: torch.Tensor, losses: torch.Tensor, start_step: int, n_steps: int) -> torch.Tensor:
        """Run some steps of an epoch; see StepRunner."""
        end = min(start_step + n_steps, -(-len(order) // self._batch_size))
        whole = min(end, len(order) // self._batch_size)
        found = torch.zeros_like(self._n_correct)
        step = start_step
        while step < whole and self._n_warm < WARM_UP_STEPS:
            found += self._warm_up(order, losses, step)
            step += 1
        if step < whole:
            found += self._replay(order, losses, step, whole)
        if whole < end:
            found += self._eager.run(order, losses, whole, end - whole)
        return found

    def _warm_up(self, order: torch.Tensor, losses: torch.Tensor, step: int) -> torch.Tensor:
        """One real step on a side stream, as a capture wants it."""
        self._side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._side):
            n_correct = self._eager.run(order, losses, step, 1)
        torch.cuda.current_stream().wait_stream(self._side)
        self._n_warm += 1
        return n_correct

    def _replay(self, order: torch.Tensor, losses: torch.Tensor, start: int, end: int) -> torch.Tensor:
        """Replay the graph once for each step from `start` to `end`, capturing it first where that was not done."""
        self._graph = graph = self._graph or self._capture()
        self._order.copy_(order)
        self._step.fill_(start)
        self._n_correct.zero_()
        self._lr.copy_(self.state.lr)
        self._n_steps.fill_(self.state.n_steps[self._trained[0]])
        for _ in range(start, end):
            graph.replay()
        self.state.count(self._trained, end - start)
        losses[start:end] = self._losses[start:end]
        return self._n_correct.clone()

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Capture one whole step; capturing records kernels and runs none."""
        graph = torch.cuda.CUDAGraph()
        # What another thread does meanwhile, writing a checkpoint say, does not spoil the capture.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            indices = self._order.index_select(0, self._step * self._batch_size + self._within)
            images, labels = self.source.gather(indices)
            self._n_steps += 1
            numbers = self.state.rule.coefficients(self._lr, self._n_steps)
            loss, logits = train_step(self.state, images, labels, [torch.as_tensor(n).float() for n in numbers])
            self._losses.index_copy_(0, self._step, loss.reshape(1))
            self._n_correct += n_correct(logits, labels)
            self._step += 1
        self._trained = self.state.trained()
        return graph
