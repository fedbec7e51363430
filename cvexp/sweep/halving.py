"""Asynchronous successive halving: which trials are stopped early."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.config.sweep import Pruning


class Halving:
    """Decides at each rung whether a trial goes on (Li et al. 2020, MLSys, arXiv:1810.05934).

    A trial goes on if its validation loss is among the best share `keep` of those that have come to the rung so far,
    but always if it is the best of them. Nothing waits, so that what comes first is judged by little.
    """

    def __init__(self, pruning: Pruning) -> None:
        self._pruning = pruning
        self._losses: dict[int, dict[str, float]] = {}

    def seen(self, trial: str, losses: Mapping[int, float], *, n_epochs: int) -> None:
        """Take note of a trial of an earlier start: its loss by epoch."""
        for rung in self._pruning.rungs(n_epochs):
            if rung in losses:
                self._note(trial, rung, losses[rung])

    def stops(self, trial: str, epoch: int, loss: float, *, n_epochs: int) -> bool:
        """Whether a trial of `n_epochs` stops after `epoch`, counted from 1, where its validation loss is `loss`."""
        if epoch not in self._pruning.rungs(n_epochs):
            return False
        mine = self._note(trial, epoch, loss)
        losses = self._losses[epoch]
        n_kept = max(1, math.floor(len(losses) * self._pruning.keep))
        return sum(other < mine for other in losses.values()) >= n_kept

    def _note(self, trial: str, rung: int, loss: float) -> float:
        loss = math.inf if math.isnan(loss) else loss
        self._losses.setdefault(rung, {})[trial] = loss
        return loss
