"""How long is trained, in which batches, from which seed."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

from cvexp.config.option import MAX_COUNT, Component, Option

MonitorName = Literal["accuracy", "balanced-accuracy", "macro-f1"]

MAX_SEED = 2**63
_SEED = "Seeds weights and order."
_LOG_EVERY = "Log the loss of every so many steps too, as step/train_loss; 0 for none."
_ACCUMULATE = "Batches whose gradients are summed for an optimizer step, as if they were one batch."
_ALLOW_NAN = "Go on when the loss is no longer a finite number."
_MAX_TIME = "Minutes after which no further epoch begins."
_EARLY_STOP = "Stop after so many epochs without a better validation accuracy."
_KEEP_BEST = "Test and store the epoch with the best validation accuracy."
_MONITOR = (
    "The validation figure that --early-stop and --keep-best go by; in the last two, each class counts the same, "
    "however many images it has."
)
_TARGET = "Report the training time until this accuracy in [0, 1] after an epoch, as time/to_accuracy."


@dataclass(frozen=True, kw_only=True)
class LoopConfig(Component):
    """The training loop's settings."""

    PANEL = "Training"

    epochs: Annotated[int, Ge(1), Le(MAX_COUNT), Option("Passes over the training images.")] = 3
    max_time: Annotated[float | None, Gt(0), Le(MAX_COUNT), Option(_MAX_TIME)] = None
    early_stop: Annotated[int | None, Ge(1), Le(MAX_COUNT), Option(_EARLY_STOP)] = None
    keep_best: Annotated[bool, Option(_KEEP_BEST)] = False
    monitor: Annotated[MonitorName, Option(_MONITOR, advanced=True)] = "accuracy"
    target_accuracy: Annotated[float | None, Gt(0), Le(1), Option(_TARGET, advanced=True)] = None
    batch_size: Annotated[int, Ge(1), Le(MAX_COUNT), Option("Images per batch.")] = 32
    accumulate: Annotated[int, Ge(1), Le(MAX_COUNT), Option(_ACCUMULATE, advanced=True)] = 1
    seed: Annotated[int, Ge(0), Lt(MAX_SEED), Option(_SEED)] = 42
    log_every: Annotated[int, Ge(0), Le(MAX_COUNT), Option(_LOG_EVERY, advanced=True)] = 0
    allow_nan: Annotated[bool, Option(_ALLOW_NAN, advanced=True)] = False

    @property
    def monitored(self) -> str:
        """The validation figure that says which epoch is the best, in words."""
        return self.monitor.replace("-", " ").replace("f1", "F1")

    @property
    def images_per_step(self) -> int:
        """Images per optimizer step."""
        return self.batch_size * self.accumulate
