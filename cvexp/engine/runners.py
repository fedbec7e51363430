"""Choose how steps are run: the fastest way that is proved equal for this model and device."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.engine.steps import EagerSteps, Unsupported, build_optimizer
from cvexp.engine.trial import check_trainable
from cvexp.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from cvexp.config import RunConfig
    from cvexp.config.execution import StepName
    from cvexp.data.dataset import Split
    from cvexp.engine.steps import StepRunner


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


def choose_runner(model: nn.Module, train: Split, config: RunConfig) -> Choice:
    """The step runner that `config` asks for; with `auto`, the fastest that can serve.

    Args:
        model: With its initial weights, on the device.
        train: The training split, on the device.
        config: Says which runner, optimiser, rate and batch size.

    Raises:
        ModelError: The model cannot be trained.
        ConfigError: A runner was asked for by name, and cannot serve this model or device; or the last batch of an
            epoch has a single image, which the model cannot be trained on.
    """
    check_trainable(model, train, name=config.model, batch_size=config.batch_size)
    if config.step != "auto":
        try:
            return Choice(runner=_build(config.step, model, train, config), reason="asked for")
        except Unsupported as error:
            raise ConfigError(f"--step {config.step} cannot be used: {error}", "use --step auto") from error
    if train.images.device.type != "cpu":
        # CUDA graphs have to be asked for until their steps were compared with eager ones on a GPU.
        reason = "recorded steps are for the CPU; --step cuda-graph is there to be asked for"
        return Choice(runner=_build("eager", model, train, config), reason=reason)
    try:
        runner = _build("captured", model, train, config)
    except Unsupported as error:
        return Choice(runner=_build("eager", model, train, config), reason=f"not captured: {error}")
    return Choice(runner=runner, reason="its first steps are eager's, bit for bit")


def _build(name: StepName, model: nn.Module, train: Split, config: RunConfig) -> StepRunner:
    lr, batch_size = config.learning_rate, config.batch_size
    if name == "captured":
        from cvexp.engine.captured import CapturedSteps

        return CapturedSteps(model, train, optimizer=config.optimizer, lr=lr, batch_size=batch_size)
    if name == "cuda-graph":
        from cvexp.engine.cuda_graph import CudaGraphSteps

        return CudaGraphSteps(model, train, optimizer=config.optimizer, lr=lr, batch_size=batch_size)
    return EagerSteps(model, train, optimizer=build_optimizer(model, config.optimizer, lr), batch_size=batch_size)
