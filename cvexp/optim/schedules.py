"""Learning rates as functions of the step, equal to those of `torch.optim.lr_scheduler` with one call a step.

A rate follows from the step's number alone, so a training that is resumed anywhere has the same ones. The schedule
`plateau` depends on validation losses too; what it needs of them is a small state of its own.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from cvexp.config import RunConfig

    Curve = Callable[[float, float], float]
    """From the number of a step, from 0, and of all steps, to what the rate is multiplied by."""

START_DIVISOR, END_DIVISOR = 25.0, 1e4
"""Of one-cycle: the largest rate by the first one, and the first one by the last; torch's defaults."""

RISING_SHARE = 0.3
"""Of one-cycle's steps, unless warm-up epochs are given; torch's default."""

THRESHOLD, LEAST_CHANGE = 1e-4, 1e-8
"""Of plateau: by which share a loss has to fall to be better, and the smallest cut of a rate; torch's defaults."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """The learning rate of each step.

    Attributes:
        name: As in the configuration.
        n_steps: Of the whole training.
        n_warmup: Steps over which the rate rises; of one-cycle, those of its rising part.
        n_between_cuts: Of the schedule `step`: steps from one cut to the next.
        factor: What a cut multiplies the rate by.
    """

    name: str
    n_steps: int
    n_warmup: int
    n_between_cuts: int
    factor: float

    def rate(self, step: int, lr: float) -> float:
        """The rate of a step, counted from 0, where `lr` is the largest one.

        Warm-up is `LinearLR` from lr / (n_warmup + 1) on; what follows it begins when it has ended.
        """
        if self.name == "one-cycle":
            return one_cycle(step, self.n_steps, lr, rising=self.n_warmup)
        if step < self.n_warmup:
            return lr * (step + 1) / (self.n_warmup + 1)
        step, n_steps = step - self.n_warmup, self.n_steps - self.n_warmup
        if self.name == "cosine":
            return lr * (1 + math.cos(math.pi * step / n_steps)) / 2
        if self.name == "step":
            return float(lr * self.factor ** (step // self.n_between_cuts))
        return lr


def one_cycle(step: int, n_steps: int, lr: float, *, rising: float) -> float:
    """The rate of a step of `OneCycleLR`, annealed by cosines, that rises over the first `rising` of `n_steps` steps."""
    start = lr / START_DIVISOR
    peak, end = rising - 1, n_steps - 1
    if step <= peak:
        return _between(start, lr, step / peak if peak else 1.0)
    return _between(lr, start / END_DIVISOR, min(1.0, (step - peak) / (end - peak)))


def _between(first: float, last: float, share: float) -> float:
    return last + (first - last) / 2 * (1 + math.cos(math.pi * share))


@dataclass(kw_only=True, slots=True)
class Plateau:
    """`ReduceLROnPlateau`: the rate is cut when the validation loss was not better for more than `patience` epochs.

    Attributes:
        lr: The rate now, without warm-up.
        best: The lowest loss so far.
        n_worse: Epochs since then.
    """

    lr: float
    factor: float
    patience: int
    best: float = math.inf
    n_worse: int = 0

    def observe(self, loss: float) -> None:
        """Take the validation loss after an epoch."""
        if loss < self.best * (1 - THRESHOLD):
            self.best, self.n_worse = loss, 0
        else:
            self.n_worse += 1
        if self.n_worse > self.patience:
            lower = self.lr * self.factor
            self.lr = lower if self.lr - lower > LEAST_CHANGE else self.lr
            self.n_worse = 0

    def state_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.lr, self.best, self.n_worse = float(state["lr"]), float(state["best"]), int(state["n_worse"])


def schedule_for(config: RunConfig, *, steps_per_epoch: int) -> Schedule | None:
    """The schedule that `config` asks for; None where the rate stays what it is."""
    if config.schedule == "none" and not config.warmup_epochs:
        return None
    n_steps = config.epochs * steps_per_epoch
    n_warmup = round(config.warmup_epochs * steps_per_epoch)
    if config.schedule == "one-cycle" and not n_warmup:
        n_warmup = max(1, round(RISING_SHARE * n_steps))
    return Schedule(
        name=config.schedule,
        n_steps=n_steps,
        n_warmup=n_warmup,
        n_between_cuts=config.lr_step_epochs * steps_per_epoch,
        factor=config.lr_factor,
    )


def plateau_for(config: RunConfig) -> Plateau | None:
    """The state of the schedule `plateau`, if `config` asks for that."""
    if config.schedule != "plateau":
        return None
    return Plateau(lr=config.learning_rate, factor=config.lr_factor, patience=config.lr_patience)
