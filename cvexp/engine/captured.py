"""Steps without autograd: one step is recorded as a graph of ATen calls and replayed, many steps in one call.

A recording runs the step once under a dispatch mode and writes down every ATen call of forward, loss and backward.
The replay makes the same calls in the same order, so its numbers are eager's, bit for bit, dropout and batch
normalisation included. What it leaves out is the bookkeeping of autograd, of `nn.Module`, of `torch.optim`, of the
data loader and of Python itself, which is most of a small model's step on a CPU.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx, nn

from cvexp.data.batches import scaled
from cvexp.engine.recording import python_program, record
from cvexp.engine.scripted import NotScripted, ScriptedLoop
from cvexp.engine.steps import Unsupported
from cvexp.engine.update import Update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cvexp.config import OptimizerName
    from cvexp.data.dataset import Split

    Loop = Callable[[Tensor, Tensor], tuple[list[Tensor], list[Tensor]]]

CALLED_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
GATHER_BYTES = 2**21
"""Float images gathered at once: enough to make the gather's own cost small, and still in a core's cache."""


class CapturedSteps:
    """Runs steps of an epoch: gather, forward, mean cross-entropy, backward, update, metrics.

    The parameters and buffers of the model change in place. The default generator is drawn from as eager
    training draws from it: once per random operator of the model.

    Args:
        model: float32, on the CPU; from (B, C, H, W) in [0, 1] to logits (B, K). Trained in training mode.
        train: The training images and labels, on the CPU.
        optimizer: Name of the optimiser, with torch's own settings besides the rate.
        lr: The rate.
        batch_size: Images per step; the last step of an epoch takes what is left.
        native: Whether to look for a loop without Python between the steps.

    Attributes:
        loop: `native`, or `python` where there is no other for this model.

    Raises:
        Unsupported: The model or an option cannot be captured. The model is as it was before.
    """

    name = "captured"

    def __init__(
        self,
        model: nn.Module,
        train: Split,
        *,
        optimizer: OptimizerName,
        lr: float,
        batch_size: int,
        native: bool = True,
    ) -> None:
        images, labels = train.images, train.labels
        self._model, self._images, self._labels = model, images, labels
        self._batch_size = batch_size
        self._state = [*model.parameters(), *model.buffers()]
        _check(model, [*self._state, images, labels])
        self._n_images_per_gather = batch_size * max(1, GATHER_BYTES // (4 * images[0].numel() * batch_size))
        programs: dict[int, fx.GraphModule] = {}
        for size in {min(batch_size, len(labels)), len(labels) % batch_size} - {0}:
            programs[size], trained = self._capture(size)
        self.optimizer = Update(optimizer, list(model.parameters()), trained, lr=lr)
        self.loop = "python"
        self._loops: dict[int, Loop] = {size: self._in_python(program) for size, program in programs.items()}
        if native:
            self._run_natively(programs)

    def run(self, order: Tensor, losses: Tensor, start_step: int, n_steps: int) -> Tensor:
        """Run some steps of an epoch.

        Args:
            order: int64 (N,), the epoch's permutation of the images.
            losses: float32 (steps of the epoch,); the mean loss of each step run here is written to its place.
            start_step: The first step, from 0.
            n_steps: How many; at the end of the epoch fewer are run.

        Returns:
            How many images were classified correctly, each by the weights before its step: int64 ().
        """
        start = start_step * self._batch_size
        wanted = order[start : start + n_steps * self._batch_size]
        found: list[Tensor] = []
        logits: list[Tensor] = []
        with torch.inference_mode():
            for images, labels in self._batches(wanted):
                whole = len(labels) // self._batch_size * self._batch_size
                for part in (slice(0, whole), slice(whole, None)):
                    size = min(self._batch_size, len(labels[part]))
                    if size:
                        step_losses, step_logits = self._loops[size](images[part], labels[part])
                        found += step_losses
                        logits += step_logits
            torch.stack(found, out=losses[start_step : start_step + len(found)])
            return (torch.cat(logits).argmax(dim=1) == self._labels.index_select(0, wanted)).sum()

    def _batches(self, order: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """The images and labels at `order`, a few steps' worth at a time.

        Where another core is free, the next ones are gathered while these are trained on: the native loop holds no
        lock that would stop it.
        """
        pieces = torch.split(order, self._n_images_per_gather)
        if self.loop != "native" or torch.get_num_threads() > 1 or (os.cpu_count() or 1) == 1:
            yield from map(self._gather, pieces)
            return
        ahead = self._beside.submit(self._gather, pieces[0])
        for piece in pieces[1:]:
            ready = ahead.result()
            ahead = self._beside.submit(self._gather, piece)
            yield ready
        yield ahead.result()

    @cached_property
    def _beside(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix="cvexp-gather")

    def _in_python(self, program: fx.GraphModule) -> Loop:
        forward = python_program(program).forward

        def loop(images: Tensor, labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
            losses, logits = [], []
            batches = [torch.split(tensor, self._batch_size) for tensor in (images, labels)]
            for step_images, step_labels in zip(*batches, strict=True):
                loss, step_logits, *gradients = forward(step_images, step_labels, *self._state)
                self.optimizer.step(gradients)
                losses.append(loss)
                logits.append(step_logits)
            return losses, logits

        return loop

    def _run_natively(self, programs: dict[int, fx.GraphModule]) -> None:
        """Put native loops in place of Python's, if they give the same for every size of batch."""
        found: dict[int, Loop] = {}
        try:
            for size, program in programs.items():
                loop = ScriptedLoop(program, self._state, self.optimizer, batch_size=size)
                with torch.inference_mode():
                    loop.check(program, *self._gather(torch.arange(size)))
                found[size] = loop
        except NotScripted:
            return
        self.loop, self._loops = "native", found

    def _gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images float32 (B, C, H, W) in [0, 1] and labels int64 (B,) at `indices`."""
        return scaled(self._images.index_select(0, indices)), self._labels.index_select(0, indices)

    def _capture(self, size: int) -> tuple[fx.GraphModule, list[int]]:
        """The program of a step over `size` images, and which parameters get a gradient.

        The model is recorded twice, on different images, since Python code that does not do the same each time
        cannot be replayed; and the program must give what the second recording gave.
        """
        first = self._gather(torch.arange(size))
        second = self._gather(torch.arange(len(self._labels) - size, len(self._labels)))
        before = [buffer.clone() for buffer in self._model.buffers()]
        modes = [(module, module.training) for module in self._model.modules()]
        try:
            with torch.random.fork_rng(devices=[]):
                code = record(self._model, self._state, *first)[0].code
                self._restore(before)
                generator = torch.get_rng_state()
                program, expected, trained = record(self._model, self._state, *second)
                expected += [buffer.clone() for buffer in self._model.buffers()] + [torch.get_rng_state()]
                self._restore(before)
                torch.set_rng_state(generator)
                with torch.inference_mode():
                    got = [*program.forward(*second, *self._state), *self._model.buffers(), torch.get_rng_state()]
                    same = all(torch.equal(a.nan_to_num(), b.nan_to_num()) for a, b in zip(got, expected, strict=True))
        finally:
            self._restore(before)
            for module, training in modes:
                module.training = training
        if code != program.code or not same:
            raise Unsupported("the model does not do the same in every step")
        return program, trained

    def _restore(self, buffers: Sequence[Tensor]) -> None:
        for buffer, value in zip(self._model.buffers(), buffers, strict=True):
            buffer.copy_(value)


def _check(model: nn.Module, tensors: Sequence[Tensor]) -> None:
    """Decline what a recording could not see."""
    if any(tensor.device.type != "cpu" for tensor in tensors):
        raise Unsupported("steps are captured on the CPU only")
    for module in model.modules():
        if any(hooks for name, hooks in vars(module).items() if name in CALLED_HOOKS):
            raise Unsupported(f"{type(module).__name__} has hooks, which would not be called")
