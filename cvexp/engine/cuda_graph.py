"""Steps on a CUDA GPU as one graph: the host says "again" once a step, and sends nothing.

A small model's step is dozens of kernels of a few microseconds each, and launching them from Python takes longer than
running them. The whole step, gather and update included, is captured once; it finds its images by a position that
lives on the device and moves on by itself. It is not what `auto` takes: its steps have yet to be compared with eager
ones on a GPU. After "Accelerating PyTorch with CUDA Graphs" (pytorch.org/blog).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cvexp.data.batches import scaled
from cvexp.engine.steps import EagerSteps, Unsupported, build_optimizer

if TYPE_CHECKING:
    from torch import nn

    from cvexp.config.optimizer import OptimizerName
    from cvexp.data.dataset import Split

WARM_UP_STEPS = 3
"""Real steps run before the capture, so that libraries choose their kernels and the allocator settles."""


class CudaGraphSteps:
    """Steps of an epoch replayed from a CUDA graph; the first few, and a short last one, run eagerly.

    Args:
        model: On a CUDA device.
        train: The training images and labels, on the same device.
        optimizer: Name of the optimiser.
        lr: Learning rate.
        batch_size: Images per step.

    Raises:
        Unsupported: The device is not CUDA, or there is less than one whole batch.
    """

    name = "cuda-graph"

    def __init__(self, model: nn.Module, train: Split, *, optimizer: OptimizerName, lr: float, batch_size: int) -> None:
        device = train.images.device
        if device.type != "cuda":
            raise Unsupported(f"CUDA graphs need a CUDA device, and this is {device.type}")
        if len(train) < batch_size:
            raise Unsupported("there is less than one whole batch")
        self._model, self._train, self._batch_size = model, train, batch_size
        self.optimizer = build_optimizer(model, optimizer, lr, capturable=True)
        self._eager = EagerSteps(model, train, optimizer=self.optimizer, batch_size=batch_size)
        self._order = torch.arange(len(train), device=device)
        self._losses = torch.zeros(-(-len(train) // batch_size), device=device)
        self._n_correct = torch.zeros((), dtype=torch.int64, device=device)
        self._step = torch.zeros(1, dtype=torch.int64, device=device)
        self._within = torch.arange(batch_size, device=device)
        self._side = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._graph: torch.cuda.CUDAGraph | None = None
        self._n_warm = 0

    def run(self, order: torch.Tensor, losses: torch.Tensor, start_step: int, n_steps: int) -> torch.Tensor:
        """Run some steps of an epoch; see StepRunner."""
        end = min(start_step + n_steps, -(-len(order) // self._batch_size))
        whole = min(end, len(order) // self._batch_size)
        n_correct = torch.zeros_like(self._n_correct)
        step = start_step
        while step < whole and self._n_warm < WARM_UP_STEPS:
            n_correct += self._warm_up(order, losses, step)
            step += 1
        if step < whole:
            n_correct += self._replay(order, losses, step, whole)
        if whole < end:
            n_correct += self._eager.run(order, losses, whole, end - whole)
        return n_correct

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
        self._order.copy_(order)
        self._step.fill_(start)
        self._n_correct.zero_()
        graph = self._graph or self._capture()
        self._graph = graph
        for _ in range(start, end):
            graph.replay()
        losses[start:end] = self._losses[start:end]
        return self._n_correct.clone()

    def _capture(self) -> torch.cuda.CUDAGraph:
        """Capture one whole step; capturing records kernels and runs none."""
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        # What another thread does meanwhile, writing a checkpoint say, does not spoil the capture.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            indices = self._order.index_select(0, self._step * self._batch_size + self._within)
            images = scaled(self._train.images.index_select(0, indices))
            labels = self._train.labels.index_select(0, indices)
            logits = self._model(images)
            loss = functional.cross_entropy(logits, labels)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self.optimizer.step()
            self._losses.index_copy_(0, self._step, loss.detach().reshape(1))
            self._n_correct += (logits.detach().argmax(dim=1) == labels).sum()
            self._step += 1
        return graph
