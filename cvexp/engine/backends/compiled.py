"""Steps whose forward and backward pass were compiled by `torch.compile`; the update stays as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from cvexp.engine.backends.eager import EagerSteps
from cvexp.engine.state import Unsupported
from cvexp.engine.step import train_step
from cvexp.engine.trial import without_trace

if TYPE_CHECKING:
    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState


class CompiledSteps(EagerSteps):
    """Eager steps with a compiled model; see StepRunner. Their figures differ from eager ones by rounding.

    It is compiled when this is constructed, for every size of batch; on a CPU that takes a C++ compiler.

    Args:
        state: On the source's device.
        source: The training images.
        batch_size: Images per step; the last step of an epoch takes what is left.

    Raises:
        Unsupported: The model cannot be compiled here. The state is as it was before.
    """

    name = "compiled"

    def __init__(self, state: TrainState, source: BatchSource, *, batch_size: int) -> None:
        super().__init__(state, source, batch_size=batch_size)
        before = state.state_dict()
        state.model.train()
        n_images = len(source)
        with without_trace(state.model, source.device):
            state.forward = torch.compile(state.model, dynamic=False)
            try:
                for size in {min(batch_size, n_images), n_images % batch_size} - {0}:
                    train_step(state, *source.gather(torch.arange(size, device=source.device)))
            except Exception as error:  # the compiler, and the user's module under it, may raise anything
                state.forward = state.model
                text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
                raise Unsupported(text) from error
            finally:
                state.load_state_dict(before)
                state.model.zero_grad()
