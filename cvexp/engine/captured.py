"""Steps without autograd: one step is recorded as a graph of ATen calls and replayed as plain Python.

A recording runs the step once under a dispatch mode and writes down every ATen call of forward, loss and backward.
The replay makes the same calls in the same order, so its numbers are eager's, bit for bit, dropout and batch
normalisation included. What it leaves out is the bookkeeping of autograd, of `nn.Module`, of `torch.optim` and of
the data loader, which is most of a small model's step on a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cvexp.data.batches import scaled
from cvexp.engine.recording import record
from cvexp.engine.steps import Unsupported
from cvexp.engine.update import Update

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cvexp.config import OptimizerName
    from cvexp.data.dataset import Split

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

    Raises:
        Unsupported: The model or an option cannot be captured. The model is as it was before.
    """

    name = "captured"

    def __init__(self, model: nn.Module, train: Split, *, optimizer: OptimizerName, lr: float, batch_size: int) -> None:
        images, labels = train.images, train.labels
        self._model, self._images, self._labels = model, images, labels
        self._batch_size = batch_size
        self._state = [*model.parameters(), *model.buffers()]
        _check(model, [*self._state, images, labels])
        self._n_images_per_gather = batch_size * max(1, GATHER_BYTES // (4 * images[0].numel() * batch_size))
        self._programs: dict[int, Callable[..., tuple[Tensor, ...]]] = {}
        for size in {min(batch_size, len(labels)), len(labels) % batch_size} - {0}:
            self._programs[size], trained = self._capture(size)
        self.optimizer = Update(optimizer, list(model.parameters()), trained, lr=lr)

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
        n_correct = torch.zeros((), dtype=torch.int64)
        start = start_step * self._batch_size
        done = start_step
        with torch.inference_mode():
            for indices in torch.split(order[start : start + n_steps * self._batch_size], self._n_images_per_gather):
                step_losses, logits, labels = self._run_gathered(indices)
                torch.stack(step_losses, out=losses[done : done + len(step_losses)])
                done += len(step_losses)
                n_correct += (torch.cat(logits).argmax(dim=1) == labels).sum()
        return n_correct

    def _run_gathered(self, indices: Tensor) -> tuple[list[Tensor], list[Tensor], Tensor]:
        """The steps over the images at `indices`: the loss () and logits (B, K) of each step, and all the labels."""
        images, labels = self._gather(indices)
        losses, logits = [], []
        for step_images, step_labels in zip(
            torch.split(images, self._batch_size), torch.split(labels, self._batch_size), strict=True
        ):
            loss, step_logits, *gradients = self._programs[len(step_labels)](step_images, step_labels, *self._state)
            self.optimizer.step(gradients)
            losses.append(loss)
            logits.append(step_logits)
        return losses, logits, labels

    def _gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images float32 (B, C, H, W) in [0, 1] and labels int64 (B,) at `indices`."""
        return scaled(self._images.index_select(0, indices)), self._labels.index_select(0, indices)

    def _capture(self, size: int) -> tuple[Callable[..., tuple[Tensor, ...]], list[int]]:
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
        return program.forward, trained

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
