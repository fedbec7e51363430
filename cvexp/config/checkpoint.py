"""When checkpoints are written, and how many are kept; no part of what a run computes."""

from dataclasses import dataclass
from typing import Annotated

from cvexp.config.option import Component, Option

_EVERY = "Epochs from one checkpoint to the next; 0 for none."
_MINUTES = "Minutes within an epoch from one checkpoint to the next; 0 for none."
_KEEP = "Checkpoints to keep after the run too. Without it, 2 while training."


@dataclass(frozen=True, kw_only=True)
class CheckpointPolicy(Component):
    """When checkpoints are written, and how many are kept. Raises ConfigError where a value is out of range."""

    PANEL = "Checkpoints"

    every: Annotated[int, Option(_EVERY, flag="--checkpoint-every", advanced=True)] = 1
    minutes: Annotated[float, Option(_MINUTES, flag="--checkpoint-minutes", advanced=True)] = 10.0
    keep: Annotated[int | None, Option(_KEEP)] = None

    def check(self) -> None:
        """Hold the ranges here, not only where flags are validated."""
        for name, least in (("every", 0), ("minutes", 0), ("keep", 1)):
            value = getattr(self, name)
            if value is not None and not least <= value < float("inf"):
                self.refuse(name, f"at least {least}")
