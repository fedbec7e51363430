"""All that decides a run's figures, validated once, at the boundary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cvexp.config.data import DataConfig
from cvexp.config.execution import ExecutionConfig
from cvexp.config.loop import LoopConfig
from cvexp.config.model import ModelConfig
from cvexp.config.optimizer import OptimizerConfig
from cvexp.config.option import SEE_HELP, validated
from cvexp.errors import ConfigError
from cvexp.text import shown

WEIGHTS_SUFFIXES = (".pt", ".safetensors")
"""Of exported files, which may be named wherever a run may."""

LONGEST_NAME = 250
"""Characters of a run's name; MLflow's own stores keep as many."""


# Dataclasses list the fields of the last base first.
@dataclass(frozen=True, kw_only=True)
class RunConfig(ExecutionConfig, LoopConfig, OptimizerConfig, DataConfig, ModelConfig):
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
    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise ConfigError(
            f"--name {shown(name)}: a name has 1 to {LONGEST_NAME} characters, and no control characters", SEE_HELP
        )
    if name.startswith(("@", "-")):
        raise ConfigError(
            f"--name {shown(name)}: a name does not begin with @ or -", "runs could not be selected by it"
        )
    if name.lower().endswith(WEIGHTS_SUFFIXES):
        raise ConfigError(
            f"--name {shown(name)}: a name does not end in {' or '.join(WEIGHTS_SUFFIXES)}",
            "where a run is selected, such a word is an exported file",
        )
    return name
