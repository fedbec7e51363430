"""When and where checkpoints are written, and how many are kept; no part of what a run computes."""

from dataclasses import dataclass
from typing import Annotated

from cvexp.config.option import Component, Option

_EVERY = "Epochs from one checkpoint to the next; 0 for none."
_MINUTES = "Minutes within an epoch from one checkpoint to the next; 0 for none."
_SHARED = (
    "Where else they are written, so that another machine can continue the run: a folder, or a URL that fsspec opens. "
    "Without it, CVEXP_CHECKPOINTS."
)
_TAKE_OVER = "With --resume: continue a run that the store calls RUNNING on another machine, which is gone for good."
_KEEP = "Checkpoints to keep after the run too. Without it, 2 while training."


@dataclass(frozen=True, kw_only=True)
class CheckpointPolicy(Component):
    """When and where checkpoints are written, and how many are kept; ConfigError where a value is out of range."""

    PANEL = "Checkpoints"

    every: Annotated[int, Option(_EVERY, flag="--checkpoint-every", advanced=True)] = 1
    minutes: Annotated[float, Option(_MINUTES, flag="--checkpoint-minutes", advanced=True)] = 10.0
    keep: Annotated[int | None, Option(_KEEP)] = None
    shared: Annotated[str | None, Option(_SHARED, flag="--checkpoints", advanced=True)] = None
    take_over: Annotated[bool, Option(_TAKE_OVER, advanced=True)] = False

    def check(self) -> None:
        """Hold the ranges here, not only where flags are validated."""
        for name, least in (("every", 0), ("minutes", 0), ("keep", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                self.refuse(name, f"at least {least}")
