"""From a configuration to the state of a training and its step runner."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.data.augment.source import training_source
from cvexp.engine.backends.choice import Choice, choose_runner
from cvexp.engine.distributed.alone import ALONE
from cvexp.engine.options import step_options
from cvexp.engine.state import TrainState, Unsupported
from cvexp.engine.trial import check_divisible
from cvexp.errors import ConfigError
from cvexp.optim.rules import rule_for
from cvexp.optim.schedules import plateau_for

if TYPE_CHECKING:
    from torch import nn

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.engine.distributed.alone import Alone


def new_state(model: nn.Module, dataset: Dataset, config: RunConfig) -> TrainState:
    """The state before the first step.

    Args:
        model: With its initial weights, on the dataset's device.
        dataset: Whose training split is learnt from.
        config: Of the run.

    Raises:
        ConfigError: The model cannot serve an option.
    """
    options = step_options(config, dataset)
    try:
        return TrainState(
            model, rule_for(config), lr=config.learning_rate, options=options, plateau=plateau_for(config)
        )
    except Unsupported as error:
        raise ConfigError(f"--ema {config.ema:g}: {error}", "leave it out") from error


def choose_step(model: nn.Module, dataset: Dataset, config: RunConfig, ranks: Alone = ALONE) -> Choice:
    """The step runner that `config` asks for, over a new state and the training split; see choose_runner, new_state.

    `ranks` are the processes that train together; the steps of several are eager.
    """
    state, source = new_state(model, dataset, config), training_source(dataset, config, seed=config.seed)
    if ranks.world == 1:
        return choose_runner(state, source, config)
    from cvexp.engine.distributed.ranks import Ranks
    from cvexp.engine.distributed.steps import DistributedSteps

    assert isinstance(ranks, Ranks)  # noqa: S101 - several are
    check_divisible(state, source, config, ranks.world)
    runner = DistributedSteps(state, source, batch_size=config.images_per_step, seed=config.seed, ranks=ranks)
    return Choice(runner=runner, reason=f"{ranks.world} processes exchange gradients; no other backend does")
