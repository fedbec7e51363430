"""Steps without autograd: one step is recorded as a graph of ATen calls and replayed, many steps in one call.

A recording runs the step once under a dispatch mode and writes down every ATen call of forward, loss, backward and
update. The replay makes the same calls in the same order, so its numbers are eager's, bit for bit, dropout and batch
normalisation included: its first steps are compared with eager ones, and a model whose Python state changes from step
to step is declined. What it leaves out is the bookkeeping of autograd, of `nn.Module` and of Python itself, which is
most of a small model's step on a CPU.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cvexp.device import usable_cpus
from cvexp.engine.backends.recording import python_loop, record
from cvexp.engine.backends.scripted import NotScripted, ScriptedLoop
from cvexp.engine.loss import n_correct
from cvexp.engine.state import Unsupported
from cvexp.engine.trial import are_equal, eager_outcome, outcome, without_trace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from torch import Tensor, fx, nn

    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState

    Loop = Callable[[Tensor, Tensor, list[Tensor], list[list[float]]], tuple[list[Tensor], list[Tensor]]]
    """From images, labels, the state's tensors and each step's coefficients to each step's loss and logits."""

CALLED_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
N_TRIAL_STEPS = 3
"""Steps of each size that are compared with eager ones."""

GATHER_BYTES = 2**21
"""Float images gathered at once: enough to make the gather's own cost small, and still in a core's cache."""


class CapturedSteps:
    """Replays the step; see StepRunner.

    The default generator is drawn from as eager training draws from it: once per random operator of the model.

    Args:
        state: On the CPU; its model takes float32 (B, C, H, W) and gives logits (B, K).
        source: The training images, on the CPU.
        batch_size: Images per step; the last step of an epoch takes what is left.
        native: Whether to look for a loop without Python between the steps.

    Attributes:
        loop: `native`, or `python` where there is no other for this model.

    Raises:
        Unsupported: The model or an option cannot be captured. The state is as it was before.
    """

    name = "captured"

    def __init__(self, state: TrainState, source: BatchSource, *, batch_size: int, native: bool = True) -> None:
        self.state, self.source = state, source
        self._batch_size = batch_size
        self._tensors = state.tensors()
        _check(state.model, source.device, self._tensors)
        n_images = len(source)
        with without_trace(state.model, source.device):
            trials = {size: self._trial(size) for size in {min(batch_size, n_images), n_images % batch_size} - {0}}
            recordings = {size: record(state.copy(), *batches[0]) for size, batches in trials.items()}
            programs = {size: program for size, (program, _) in recordings.items()}
            self._trained = next(iter(recordings.values()))[1]
            self.loop, self._loops = self._compared(programs, trials, native=native)
        bytes_per_image = 4 * next(iter(trials.values()))[0][0][0].numel()
        self._n_images_per_gather = batch_size * max(1, GATHER_BYTES // (bytes_per_image * batch_size))

    def run(self, order: Tensor, losses: Tensor, start_step: int, n_steps: int) -> Tensor:
        """Run some steps of an epoch; see StepRunner."""
        start = start_step * self._batch_size
        stop = start + n_steps * self._batch_size
        # The native loop does not hold the GIL, so another core can gather meanwhile.
        prefetch = self.loop == "native" and torch.get_num_threads() == 1 and usable_cpus() > 1
        found: list[Tensor] = []
        logits: list[Tensor] = []
        truth: list[Tensor] = []
        with torch.inference_mode():
            chunks = self.source.chunks(order, self._n_images_per_gather, start=start, stop=stop, prefetch=prefetch)
            for images, labels in chunks:
                truth.append(labels)
                whole = len(labels) // self._batch_size * self._batch_size
                for part in (slice(0, whole), slice(whole, None)):
                    if len(labels[part]):
                        step_losses, step_logits = self._run(images[part], labels[part])
                        found += step_losses
                        logits += step_logits
            torch.stack(found, out=losses[start_step : start_step + len(found)])
            return n_correct(torch.cat(logits), torch.cat(truth))

    def _run(self, images: Tensor, labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        size = min(self._batch_size, len(labels))
        done = self.state.n_steps[self._trained[0]]
        n_steps = len(labels) // size
        coefficients = _coefficients(self.state, done, n_steps)
        found = self._loops[size](images, labels, self._tensors, coefficients)
        self.state.count(self._trained, n_steps)
        return found

    def _compared(
        self,
        programs: Mapping[int, fx.GraphModule],
        trials: Mapping[int, Sequence[tuple[Tensor, Tensor]]],
        *,
        native: bool,
    ) -> tuple[str, dict[int, Loop]]:
        """The first of the loops, native and Python's, whose steps are eager's for every size of batch.

        Raises:
            Unsupported: None is.
        """
        generator = torch.get_rng_state()
        expected = {}
        for size, batches in trials.items():
            torch.set_rng_state(generator)
            expected[size] = eager_outcome(self.state.copy(), batches, self._trained)
        for name in ("native", "python") if native else ("python",):
            build: Callable[..., Loop] = ScriptedLoop if name == "native" else python_loop
            try:
                loops = {size: build(program, batch_size=size) for size, program in programs.items()}
            except NotScripted:
                continue
            for size, loop in loops.items():
                torch.set_rng_state(generator)
                if not are_equal(self._replayed(loop, trials[size]), expected[size]):
                    break
            else:
                return name, loops
        raise Unsupported("replayed steps differ from eager ones")

    def _replayed(self, loop: Loop, batches: Sequence[tuple[Tensor, Tensor]]) -> list[Tensor]:
        """What `loop` makes of `batches` from where the state is; see `eager_outcome`."""
        images, labels = zip(*batches, strict=True)
        with torch.inference_mode():
            tensors = [tensor.clone() for tensor in self._tensors]
            found = loop(torch.cat(images), torch.cat(labels), tensors, _coefficients(self.state, 0, len(batches)))
            return [*(tensor for pair in zip(*found, strict=True) for tensor in pair), *outcome(tensors)]

    def _trial(self, size: int) -> list[tuple[Tensor, Tensor]]:
        """The first images, batch by batch, over and over where there are few."""
        indices = torch.arange(N_TRIAL_STEPS * size).remainder_(len(self.source))
        return [self.source.gather(some) for some in torch.split(indices, size)]


def _coefficients(state: TrainState, done: int, n_steps: int) -> list[list[float]]:
    """The rule's numbers of the next steps, after `done` ones."""
    lr = state.lr.item()
    return [[float(number) for number in state.rule.coefficients(lr, done + n)] for n in range(1, n_steps + 1)]


def _check(model: nn.Module, device: torch.device, tensors: Sequence[Tensor]) -> None:
    """Decline what a recording could not see."""
    if any(kind != "cpu" for kind in (device.type, *(tensor.device.type for tensor in tensors))):
        raise Unsupported("steps are captured on the CPU only")
    for module in model.modules():
        if any(hooks for name, hooks in vars(module).items() if name in CALLED_HOOKS):
            raise Unsupported(f"{type(module).__name__} has hooks, which would not be called")
