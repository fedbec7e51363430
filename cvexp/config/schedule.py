"""How the learning rate changes from step to step."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from cvexp.config.option import MAX_COUNT, Component, Option

ScheduleName = Literal["none", "cosine", "one-cycle", "step", "plateau"]

_NEEDS = {"lr_step_epochs": ("step",), "lr_patience": ("plateau",), "lr_factor": ("step", "plateau")}
"""The schedules that each option is for."""

_SCHEDULE = Option("How the learning rate changes; plateau follows the validation loss.")
_WARMUP = "Epochs over which the rate rises to --lr; of one-cycle, by default 30% of all steps."
_STEP_EPOCHS = "Epochs from one cut of the rate to the next; schedule step."
_PATIENCE = "Epochs without a better validation loss before the rate is cut; schedule plateau."
_FACTOR = "What a cut multiplies the rate by; schedules step and plateau."


@dataclass(frozen=True, kw_only=True)
class ScheduleConfig(Component):
    """The schedule by name, and its options."""

    PANEL = "Optimizer"

    schedule: Annotated[ScheduleName, _SCHEDULE] = "none"
    warmup_epochs: Annotated[float, Ge(0), Le(MAX_COUNT), Option(_WARMUP, advanced=True)] = 0.0
    lr_step_epochs: Annotated[int, Ge(1), Le(MAX_COUNT), Option(_STEP_EPOCHS, advanced=True)] = 10
    lr_patience: Annotated[int, Ge(0), Le(MAX_COUNT), Option(_PATIENCE, advanced=True)] = 10
    lr_factor: Annotated[float, Gt(0), Lt(1), Option(_FACTOR, advanced=True)] = 0.1

    def check(self) -> None:
        """Refuse options that the schedule does not have."""
        for name, schedules in _NEEDS.items():
            if self.schedule not in schedules and getattr(self, name) != getattr(ScheduleConfig, name):
                self.refuse(name, f"schedule {self.schedule} has no such option")
