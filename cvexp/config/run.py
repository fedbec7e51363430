"""All that decides a run's figures, validated once, at the boundary."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cvexp.config.data import DataConfig
from cvexp.config.execution import ExecutionConfig
from cvexp.config.loop import LoopConfig
from cvexp.config.loss import LossConfig
from cvexp.config.model import ModelConfig
from cvexp.config.optimizer import OptimizerConfig
from cvexp.config.option import SEE_HELP, validated
from cvexp.config.schedule import ScheduleConfig
from cvexp.errors import ConfigError
from cvexp.runs import EXPORT_SUFFIXES, MODEL_URI
from cvexp.text import shown

LONGEST_NAME = 250
"""Characters of a run's name; MLflow's own stores keep as many."""

VAL_SPLIT = 0.1
"""The fraction of the training images set aside where an option needs a validation part and none is asked for."""

_FOLLOWS_VALIDATION: Mapping[str, Callable[[Any], bool]] = {
    "schedule": lambda value: value == "plateau",
    "early_stop": lambda value: value not in (None, "none"),
    "keep_best": lambda value: str(value).lower() == "true",
}


# Dataclasses list the fields of the last base first.
@dataclass(frozen=True, kw_only=True)
class RunConfig(ExecutionConfig, LoopConfig, LossConfig, ScheduleConfig, OptimizerConfig, DataConfig, ModelConfig):
    """Everything that decides a run's figures, plus the device it asks for; the components say what each field is."""

    def check(self) -> None:
        """Refuse options that follow a validation part that there is not, and cached features on several devices."""
        for name in needs_validation(vars(self)) if not self.val_split else ():
            self.refuse(name, "it needs a validation part: leave --val-split out, or give one above 0")
        if self.monitor != "accuracy" and self.early_stop is None and not self.keep_best:
            self.refuse("monitor", "it goes with --early-stop or --keep-best")
        if self.devices > 1 and self.cache_features:
            self.refuse("devices", "--cache-features trains only a head, which one device does as fast")


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """Validate `settings` and make them a RunConfig; see `cvexp.config.option.validated`.

    Options that follow the validation part have one: of `VAL_SPLIT` where `settings` do not say.

    Raises:
        ConfigError: As `validated`; or an option would have no effect within the epochs that are asked for.
    """
    if needs_validation(settings) and settings.get("val_split") is None:
        settings = {**settings, "val_split": VAL_SPLIT}
    config = validated(RunConfig, settings)
    _check_epochs(config)
    return config


def needs_validation(settings: Mapping[str, Any]) -> list[str]:
    """The names of those settings that follow the validation part."""
    return [name for name, follows in _FOLLOWS_VALIDATION.items() if follows(settings.get(name))]


def _check_epochs(config: RunConfig) -> None:
    """Refuse what would come after the last epoch. No check of RunConfig: a run that was stopped early has fewer."""
    too_late = {
        "warmup_epochs": config.warmup_epochs >= config.epochs,
        "lr_step_epochs": config.schedule == "step" and config.lr_step_epochs >= config.epochs,
        "lr_patience": config.schedule == "plateau" and config.lr_patience + 2 >= config.epochs,
    }
    for name in (name for name, is_late in too_late.items() if is_late):
        config.refuse(name, f"too late for {config.epochs} epochs; give a smaller one, or more --epochs")


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
    if name.startswith(("@", "-", MODEL_URI)):
        raise ConfigError(f"{given} does not begin with @ or - or {MODEL_URI}", "runs could not be selected by it")
    if name.lower().endswith(suffixes):
        remedy = "where a run is selected, such a word is an exported file"
        raise ConfigError(f"{given} does not end in {' or '.join(suffixes)}", remedy)
    return name
