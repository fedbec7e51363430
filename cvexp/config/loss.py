"""What training minimises."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Lt

from cvexp.config.option import Component, Option

ClassWeights = Literal["none", "balanced"]

_SMOOTHING = "Share of each label that is spread over all classes."
_WEIGHTS = "Weights of the classes in the loss; balanced: N / (K n) for a class with n of the N training images."


@dataclass(frozen=True, kw_only=True)
class LossConfig(Component):
    """The training loss; evaluations always give the plain cross-entropy."""

    PANEL = "Training"

    label_smoothing: Annotated[float, Ge(0), Lt(1), Option(_SMOOTHING, advanced=True)] = 0.0
    class_weights: Annotated[ClassWeights, Option(_WEIGHTS, advanced=True)] = "none"
