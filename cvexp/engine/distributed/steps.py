"""Steps that several processes take together: each with its part of every batch, with the sums of one process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from cvexp.device import seed_everything
from cvexp.engine.distributed.batch_norm import synchronised
from cvexp.engine.loss import n_correct
from cvexp.engine.step import Share, train_step
from cvexp.engine.trial import draws

if TYPE_CHECKING:
    from torch import Tensor

    from cvexp.data.batches import BatchSource
    from cvexp.engine.distributed.ranks import Ranks
    from cvexp.engine.state import TrainState


class DistributedSteps:
    """Eager steps of which this process takes a part; see StepRunner.

    Each forward pass is of the images that one process would have in it, divided as `torch.tensor_split` does. The
    loss of a part is its sum over the divisor of the whole step, times the number of processes, since
    DistributedDataParallel averages gradients: so gradients are one process's up to the order of sums.

    Processes but the first seed their generators before each step by seed, process and number of the step, so that a
    checkpoint of process 0 is one of all. Unused parameters are looked for: they then keep no gradient, as on one
    device, and buckets never change, so that sums of three and more are added in the same order after a resume.

    Args:
        state: On the source's device; its model is made one whose gradients are exchanged.
        source: The training images, all of them in each process.
        batch_size: Images per step, of all processes together.
        seed: Of the run.
        ranks: The processes.

    Attributes:
        draws: Whether the model draws random numbers in training.
    """

    name = "eager"

    def __init__(self, state: TrainState, source: BatchSource, *, batch_size: int, seed: int, ranks: Ranks) -> None:
        self.state, self.source = state, source
        self.draws = draws(state, source)
        self._batch_size, self._seed, self._ranks = batch_size, seed, ranks
        self._whole_batches = synchronised(state.model, source.device)
        with ranks.watched():
            self._parallel = DistributedDataParallel(
                state.model,
                device_ids=None if source.device.type == "cpu" else [source.device],
                find_unused_parameters=True,
            )
        # They are equal in any case: those of batch normalisation are of whole batches. The name of the keyword depends
        # on the release of torch, that of the attribute does not.
        self._parallel.broadcast_buffers = False
        state.forward = self._forward

    def _forward(self, images: Tensor) -> Tensor:
        with self._whole_batches():
            logits: Tensor = self._parallel(images)
        return logits

    def run(self, order: Tensor, losses: Tensor, start_step: int, n_steps: int) -> Tensor:
        """Run some steps of an epoch; see StepRunner. Losses and counts are those of all processes."""
        n_images = len(order)
        steps = range(start_step, min(start_step + n_steps, -(-n_images // self._batch_size)))
        parts = [self._parts(step, n_images) for step in steps]
        found = torch.zeros(len(steps) + 1, dtype=torch.float64, device=order.device)
        batches = self.source.pieces(order, [torch.cat(part) for part in parts])
        with self._ranks.watched():
            for index, (step, (images, labels)) in enumerate(zip(steps, batches, strict=True)):
                if self._ranks.rank:
                    seed_everything(self._step_seed())
                n_of_all = min(self._batch_size, n_images - step * self._batch_size)
                share = self._share([*map(len, parts[index])], labels, n_of_all)
                found[index], logits = train_step(self.state, images, labels, share=share)
                found[-1] += n_correct(logits, labels)
        self._ranks.add(found)
        losses[start_step : start_step + len(steps)] = found[:-1]
        return found[-1].long()

    def _parts(self, step: int, n_images: int) -> list[Tensor]:
        """The positions in the epoch's order, int64 on the CPU, that are this process's, for each forward pass."""
        first = step * self._batch_size
        positions = torch.arange(first, min(first + self._batch_size, n_images))
        passes = torch.split(positions, self.state.options.batch_size or self._batch_size)
        return [torch.tensor_split(one, self._ranks.world)[self._ranks.rank] for one in passes]

    def _share(self, sizes: list[int], labels: Tensor, n_images: int) -> Share:
        """This process's, of a step over `n_images`, given its own labels."""
        own = self.state.options.loss.divisor(labels)
        divisor = self._ranks.add(own) if isinstance(own, torch.Tensor) else n_images
        times, without_exchange = self._ranks.world, self._parallel.no_sync
        return Share(sizes=sizes, divisor=divisor, times=times, without_exchange=without_exchange)

    def _step_seed(self) -> int:
        words = np.random.SeedSequence((self._seed, self._ranks.rank, self.state.n_taken)).generate_state(2)
        return (int(words[0]) << 31) ^ int(words[1])
