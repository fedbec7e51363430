"""All that decides a run's figures, validated once, at the boundary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cvexp.config.data import DataConfig
from cvexp.config.execution import ExecutionConfig
from cvexp.config.loop import LoopConfig
from cvexp.config.loss import LossConfig
from cvexp.config.model import ModelConfig
from cvexp.config.optimizer import OptimizerConfig
from cvexp.config.option import SEE_HELP, validated
from cvexp.errors import ConfigError
from cvexp.runs import EXPORT_SUFFIXES
from cvexp.text import shown

LONGEST_NAME = 250
"""Characters of a run's name; MLflow's own stores keep as many."""


# Dataclasses list the fields of the last base first.
@dataclass(frozen=True, kw_only=True)
class RunConfig(ExecutionConfig, LoopConfig, LossConfig, OptimizerConfig, DataConfig, ModelConfig):
    """Everything that decides a run's figures, plus the device it asks for; the components say what each field is."""


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """Validate `settings` and make them a RunConfig; see `cvexp.config.option.validated`."""
    return validated(RunConfig, settings)


def run_name(name: str | None) -> str | None:
    """`name`, if it is one that a run can have; None leaves the choice to cvexp.

    Raises:
        ConfigError: It is empty, too long, holds control characters, or means something else where a run is selected.
    """
    if name is None:
        return None
    given, suffixes = f"--name {shown(name)}: a name", tuple(EXPORT_SUFFIXES.values())
    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise ConfigError(f"{given} has 1 to {LONGEST_NAME} characters, and no control characters", SEE_HELP)
    if name.startswith(("@", "-")):
        raise ConfigError(f"{given} does not begin with @ or -", "runs could not be selected by it")
    if name.lower().endswith(suffixes):
        remedy = "where a run is selected, such a word is an exported file"
        raise ConfigError(f"{given} does not end in {' or '.join(suffixes)}", remedy)
    return name
