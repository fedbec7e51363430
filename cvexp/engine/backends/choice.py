"""The backends by name, and the choice among them: the fastest one that is proved equal to eager steps."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cvexp.engine.state import Unsupported
from cvexp.engine.trial import check_trainable, without_trace
from cvexp.errors import ConfigError
from cvexp.models.summary import layer_macs

if TYPE_CHECKING:
    from collections.abc import Callable

    from cvexp.config import RunConfig
    from cvexp.data.batches import BatchSource
    from cvexp.engine.state import TrainState
    from cvexp.engine.step import StepRunner

BACKENDS = {
    "eager": "cvexp.engine.backends.eager:EagerSteps",
    "captured": "cvexp.engine.backends.captured:CapturedSteps",
    "cuda-graph": "cvexp.engine.backends.cuda_graph:CudaGraphSteps",
    "compiled": "cvexp.engine.backends.compiled:CompiledSteps",
}
"""By name; each makes a StepRunner of a state, a source and a batch size, or raises Unsupported."""

MACS_WORTH_RECORDING = 8_000_000_000
"""Multiply-accumulates in a step's forward pass above which `auto` does not record.

Measured on one core with tinyvgg (64 units, 3x64x64): 7.5 billion took 4.1 s to record and compare, and a step 0.51 s
instead of 0.57; with the course's 0.04 billion it is 0.13 s, and 12.4 ms instead of 14.9. Both, and the memory for the
copies that are compared, grow with the model, while the share that is saved shrinks.
"""

_LOOPS = {"native": "TorchScript loop", "python": "replayed from Python"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """A step runner, and why it was chosen, in words."""

    runner: StepRunner
    reason: str

    @property
    def description(self) -> str:
        """The runner, which loop its steps run in where it has several, and the reason."""
        loop = _LOOPS.get(getattr(self.runner, "loop", ""))
        return f"{self.runner.name} ({loop}; {self.reason})" if loop else f"{self.runner.name} ({self.reason})"


def choose_runner(state: TrainState, source: BatchSource, config: RunConfig) -> Choice:
    """The step runner that `config` asks for; with `auto`, the fastest that gives the numbers of eager steps.

    Args:
        state: With its initial weights, on the device.
        source: The training images, on the device.
        config: Says which backend and batch size, and what the model is called.

    Raises:
        ModelError: The model cannot be trained.
        ConfigError: A backend was asked for by name, and cannot serve this model or device; or the last batch of an
            epoch has a single image, which the model cannot be trained on.
    """
    check_trainable(state, source, name=config.model, batch_size=config.batch_size)
    if config.compile:
        try:
            return Choice(runner=_build("compiled", state, source, config), reason="asked for")
        except Unsupported as error:
            raise ConfigError(f"--compile cannot be used: {error}", "leave it out") from error
    if config.step != "auto":
        try:
            return Choice(runner=_build(config.step, state, source, config), reason="asked for")
        except Unsupported as error:
            raise ConfigError(f"--step {config.step} cannot be used: {error}", "use --step auto") from error
    if source.device.type != "cpu":
        # CUDA graphs have to be asked for: their steps differ from eager ones by rounding.
        reason = "recorded steps are for the CPU; --step cuda-graph is there to be asked for"
        return Choice(runner=_build("eager", state, source, config), reason=reason)
    macs = config.images_per_step * _macs_of_an_image(state, source)
    if macs > MACS_WORTH_RECORDING:
        reason = f"not captured: {macs / 1e9:.1f} G multiply-accumulates a step leave little overhead to save"
        return Choice(runner=_build("eager", state, source, config), reason=reason)
    try:
        runner = _build("captured", state, source, config)
    except Unsupported as error:
        return Choice(runner=_build("eager", state, source, config), reason=f"not captured: {error}")
    return Choice(runner=runner, reason="its first steps are eager's, bit for bit")


def _macs_of_an_image(state: TrainState, source: BatchSource) -> int:
    with without_trace(state.model, source.device):
        return layer_macs(state.model, source.gather(torch.arange(1))[0].shape[1:])


def _build(name: str, state: TrainState, source: BatchSource, config: RunConfig) -> StepRunner:
    module, _, kind = BACKENDS[name].partition(":")
    build: Callable[..., StepRunner] = getattr(importlib.import_module(module), kind)
    return build(state, source, batch_size=config.images_per_step)
