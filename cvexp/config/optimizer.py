"""How the weights are updated."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from cvexp.config.option import Component, Option

OptimizerName = Literal["sgd", "adam", "adamw"]
Decayed = Literal["all", "matrices"]

_RATES = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3}
"""The course's rate for SGD; torch's own defaults for the other two."""

_DECAYS = {"sgd": 0.0, "adam": 0.0, "adamw": 0.01}
"""torch's own defaults."""

_OF_SGD = ("momentum", "nesterov")
_OF_ADAM = ("beta1", "beta2", "eps")
"""Options that only one of the rules has."""

_LR = Option("Learning rate.", default_by=("optimizer", _RATES))
_MOMENTUM = Option("Momentum; sgd only.")
_DECAY = Option("Weight decay.", default_by=("optimizer", _DECAYS))
_DECAYED = "What weight decay is for; matrices leaves out biases and the weights of norms."
_CLIP = "Largest L2 norm of all gradients together; larger ones are scaled down to it."
_EMA = "Evaluate, test and store the average of the weights, each step's weighted EMA times the next one's."


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig(Component):
    """The optimizer by name, and its options."""

    PANEL = "Optimizer"

    optimizer: Annotated[OptimizerName, Option("The update rule.")] = "sgd"
    lr: Annotated[float | None, Gt(0), Lt(float("inf")), _LR] = None
    momentum: Annotated[float, Ge(0), Lt(1), _MOMENTUM] = 0.0
    nesterov: Annotated[bool, Option("Nesterov's momentum; sgd only.", advanced=True)] = False
    weight_decay: Annotated[float | None, Ge(0), Lt(float("inf")), _DECAY] = None
    decay: Annotated[Decayed, Option(_DECAYED, advanced=True)] = "all"
    clip_norm: Annotated[float | None, Gt(0), Lt(float("inf")), Option(_CLIP, advanced=True)] = None
    ema: Annotated[float | None, Ge(0), Lt(1), Option(_EMA, advanced=True)] = None
    beta1: Annotated[float, Ge(0), Lt(1), Option("Decay of adam's mean of gradients.", advanced=True)] = 0.9
    beta2: Annotated[float, Ge(0), Lt(1), Option("Decay of adam's mean of squares.", advanced=True)] = 0.999
    eps: Annotated[float, Gt(0), Lt(1), Option("Added to the root of adam's mean of squares.", advanced=True)] = 1e-8

    def check(self) -> None:
        """Refuse options that the optimizer does not have."""
        for name in _OF_ADAM if self.optimizer == "sgd" else _OF_SGD:
            if getattr(self, name) != getattr(OptimizerConfig, name):
                self.refuse(name, f"{self.optimizer} has no such option")
        if self.nesterov and not self.momentum:
            self.refuse("nesterov", "it needs --momentum")
        if self.decay != "all" and not self.effective("weight_decay"):
            self.refuse("decay", "it needs --weight-decay")

    @property
    def learning_rate(self) -> float:
        """The learning rate in effect: `lr`, or the optimizer's default."""
        return float(self.effective("lr"))
