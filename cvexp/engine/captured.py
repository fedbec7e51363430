"""Steps without autograd: one step is recorded as a graph of ATen calls and replayed, many steps in one call.

A recording runs the step once under a dispatch mode and writes down every ATen call of forward, loss and backward.
The replay makes the same calls in the same order, so its numbers are eager's, bit for bit, dropout and batch
normalisation included: its first steps are compared with eager ones, and a model whose Python state changes from step
to step is declined. What it leaves out is the bookkeeping of autograd, of `nn.Module`, of `torch.optim`, of the data
loader and of Python itself, which is most of a small model's step on a CPU.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import Tensor, fx, nn

from cvexp.data.batches import scaled
from cvexp.device import usable_cpus
from cvexp.engine.recording import python_program, record
from cvexp.engine.scripted import NotScripted, ScriptedLoop
from cvexp.engine.steps import Unsupported
from cvexp.engine.trial import are_equal, copy_of, eager_outcome, outcome, without_trace
from cvexp.engine.update import Update

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from cvexp.config.optimizer import OptimizerName
    from cvexp.data.dataset import Split

    Loop = Callable[[Tensor, Tensor, list[Tensor], Update], tuple[list[Tensor], list[Tensor]]]

CALLED_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
N_TRIAL_STEPS = 3
"""Steps of each size that are compared with eager ones."""

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
        with without_trace(model, images.device):
            for size in {min(batch_size, len(labels)), len(labels) % batch_size} - {0}:
                programs[size], trained = self._recorded(size)
            self.optimizer = Update(optimizer, list(model.parameters()), trained, lr=lr)
            self.loop, self._loops = self._compared(programs, native=native)

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
                        step_losses, step_logits = self._loops[size](
                            images[part], labels[part], self._state, self.optimizer
                        )
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
        if self.loop != "native" or torch.get_num_threads() > 1 or usable_cpus() == 1:
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

    def _recorded(self, size: int) -> tuple[fx.GraphModule, list[int]]:
        """The program of a step over `size` images, and which parameters get a gradient."""
        model = copy_of(self._model)
        state = [*model.parameters(), *model.buffers()]
        program, _, trained = record(model, state, *self._gather(torch.arange(size)))
        return program, trained

    def _compared(self, programs: Mapping[int, fx.GraphModule], *, native: bool) -> tuple[str, dict[int, Loop]]:
        """The first of the loops, native and Python's, whose steps are eager's for every size of batch.

        Raises:
            Unsupported: None is.
        """
        generator = torch.get_rng_state()
        expected = {}
        for size in programs:
            torch.set_rng_state(generator)
            expected[size] = eager_outcome(copy_of(self._model), self._trial_batches(size), self.optimizer)
        for name in ("native", "python") if native else ("python",):
            try:
                loops = {size: self._build(name, program, size) for size, program in programs.items()}
            except NotScripted:
                continue
            for size, loop in loops.items():
                torch.set_rng_state(generator)
                if not are_equal(self._replayed(loop, self._trial_batches(size)), expected[size]):
                    break
            else:
                return name, loops
        raise Unsupported("replayed steps differ from eager ones")

    def _build(self, name: str, program: fx.GraphModule, size: int) -> Loop:
        if name == "native":
            return ScriptedLoop(program, len(self._state), self.optimizer, batch_size=size)
        return _in_python(program, size)

    def _replayed(self, loop: Loop, batches: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """What `loop` makes of `batches` from where the model is; see `eager_outcome`."""
        images, labels = zip(*batches, strict=True)
        with torch.inference_mode():
            state = [tensor.clone() for tensor in self._state]
            update = self.optimizer.copied(state)
            found = loop(torch.cat(images), torch.cat(labels), state, update)
            pairs = [tensor for pair in zip(*found, strict=True) for tensor in pair]
            return [*pairs, *outcome(state, update)]

    def _trial_batches(self, size: int) -> list[tuple[Tensor, Tensor]]:
        """The first images, batch by batch, over and over where there are few."""
        indices = torch.arange(N_TRIAL_STEPS * size).remainder_(len(self._labels))
        return [self._gather(some) for some in torch.split(indices, size)]

    def _gather(self, indices: Tensor) -> tuple[Tensor, Tensor]:
        """Images float32 (B, C, H, W) in [0, 1] and labels int64 (B,) at `indices`."""
        return scaled(self._images.index_select(0, indices)), self._labels.index_select(0, indices)


def _in_python(program: fx.GraphModule, batch_size: int) -> Loop:
    forward = python_program(program).forward

    def loop(images: Tensor, labels: Tensor, state: list[Tensor], update: Update) -> tuple[list[Tensor], list[Tensor]]:
        losses, logits = [], []
        batches = [torch.split(tensor, batch_size) for tensor in (images, labels)]
        for step_images, step_labels in zip(*batches, strict=True):
            loss, step_logits, *gradients = forward(step_images, step_labels, *state)
            update.step(gradients)
            losses.append(loss)
            logits.append(step_logits)
        return losses, logits

    return loop


def _check(model: nn.Module, tensors: Sequence[Tensor]) -> None:
    """Decline what a recording could not see."""
    if any(tensor.device.type != "cpu" for tensor in tensors):
        raise Unsupported("steps are captured on the CPU only")
    for module in model.modules():
        if any(hooks for name, hooks in vars(module).items() if name in CALLED_HOOKS):
            raise Unsupported(f"{type(module).__name__} has hooks, which would not be called")
