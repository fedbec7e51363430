"""How long is trained, in which batches, from which seed."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Le, Lt

from cvexp.config.option import MAX_COUNT, Component, Option

MAX_SEED = 2**63
_SEED = "Seeds the initial weights and, again, the order of the batches."
_LOG_EVERY = "Log the loss of every so many steps too, as step/train_loss; 0 for none."
_ALLOW_NAN = "Go on when the loss is no longer a finite number."


@dataclass(frozen=True, kw_only=True)
class LoopConfig(Component):
    """The training loop's settings."""

    PANEL = "Training"

    epochs: Annotated[int, Ge(1), Le(MAX_COUNT), Option("Passes over the training images.")] = 3
    batch_size: Annotated[int, Ge(1), Le(MAX_COUNT), Option("Images per optimizer step.")] = 32
    seed: Annotated[int, Ge(0), Lt(MAX_SEED), Option(_SEED)] = 42
    log_every: Annotated[int, Ge(0), Le(MAX_COUNT), Option(_LOG_EVERY, advanced=True)] = 0
    allow_nan: Annotated[bool, Option(_ALLOW_NAN, advanced=True)] = False
