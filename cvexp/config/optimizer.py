"""How the weights are updated."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Gt, Lt

from cvexp.config.option import Component, Option

OptimizerName = Literal["sgd", "adam", "adamw"]

_RATES = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3}
"""The course's rate for SGD; torch's own defaults for the other two."""


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Component):
    """The optimizer by name, and its options."""

    PANEL = "Optimizer"

    optimizer: Annotated[OptimizerName, Option("The update rule; sgd is plain.")] = "sgd"
    lr: Annotated[float | None, Gt(0), Lt(float("inf")), Option("Learning rate.", default_by=("optimizer", _RATES))] = (
        None
    )

    @property
    def learning_rate(self) -> float:
        """The learning rate in effect: `lr`, or the optimizer's default."""
        return float(self.effective("lr"))
