"""What is done before a training, in place of it."""

from dataclasses import dataclass
from typing import Annotated

from cvexp.config.option import Component, Option, settings_of

_LR_FIND = "Train nothing: raise the rate over some steps, draw the loss to lr_find.png, and suggest a rate."
_OVERFIT = "Train nothing but one batch, and say whether its loss comes near zero; no run is left behind."
_SMOKE = "Train, evaluate, checkpoint and log for a few steps, in a store that is removed afterwards."


@dataclass(frozen=True, kw_only=True)
class Rehearsal(Component):
    """Checks of a model and its settings that take seconds."""

    PANEL = "Before training"

    lr_find: Annotated[bool, Option(_LR_FIND, advanced=True)] = False
    overfit_batch: Annotated[bool, Option(_OVERFIT, advanced=True)] = False
    smoke: Annotated[bool, Option(_SMOKE, advanced=True)] = False

    def check(self) -> None:
        """Refuse more than one of them."""
        asked = [name for name in settings_of(Rehearsal) if getattr(self, name)]
        if len(asked) > 1:
            self.refuse(asked[1], f"it cannot be combined with {settings_of(Rehearsal)[asked[0]].flag}")

    @property
    def is_asked(self) -> bool:
        """Whether one of them is."""
        return any(getattr(self, name) for name in settings_of(Rehearsal))
