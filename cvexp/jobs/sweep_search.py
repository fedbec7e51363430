"""The search of a sweep: trials that were interrupted first, then new ones until the budget is spent."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cvexp.jobs.sweep_plan import as_tried
from cvexp.jobs.trials import Trial, losses_of, seconds_spent
from cvexp.sweep.halving import Halving
from cvexp.sweep.search import Search

if TYPE_CHECKING:
    from collections.abc import Callable

    from cvexp.jobs.sweep_plan import SweepPlan
    from cvexp.jobs.trials import Known

SECONDS_PER_MINUTE = 60


class Searching:
    """Says which trial is trained next.

    Attributes:
        trials: By key, those of earlier starts too.
        exhausted: Whether no point is left that was not tried.
    """

    def __init__(
        self, planned: SweepPlan, known: Known, *, retry_failed: bool, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._plan, self._clock = planned, clock
        self.trials = dict(known.trials)
        self.exhausted = False
        again = ("interrupted", "failed") if retry_failed else ("interrupted",)
        self._left = sorted((one for one in self.trials.values() if one.state in again), key=lambda one: one.number)
        self._before = seconds_spent(self.trials.values())
        self._started: float | None = None
        self._search = Search(planned.sweep, planned.key_of)

    @property
    def minutes(self) -> float:
        """For how long trials ran: in earlier starts, and since this one began, if any was trained in it."""
        now = 0.0 if self._started is None else self._clock() - self._started
        return (self._before + now) / SECONDS_PER_MINUTE

    def next(self) -> Trial | None:
        """The next trial to train; None where the budget is spent, or nothing is left."""
        trial = self._left.pop(0) if self._left else self._new()
        if trial is not None and self._started is None:
            self._started = self._clock()
        return trial

    def halving(self) -> Halving | None:
        """What stops trials early, with what earlier starts saw; None where the sweep does not ask for it."""
        pruning = self._plan.sweep.prune
        if pruning is None:
            return None
        halving, known = Halving(pruning), [one for one in self.trials.values() if one.run_id]
        for key, losses in losses_of(known, self._plan.settings).items():
            halving.seen(key, losses, n_epochs=self.trials[key].config.epochs)
        return halving

    def _new(self) -> Trial | None:
        sweep = self._plan.sweep
        if self._budget_is_spent() or self.exhausted:
            return None
        found = self._search.next(as_tried(self.trials.values(), sweep))
        if found is None:
            self.exhausted = True
            return None
        config, _ = self._plan.completed(sweep.config(found.point))
        trial = Trial(number=found.number, key=found.key, point=found.point, config=config)
        self.trials[trial.key] = trial
        return trial

    def _budget_is_spent(self) -> bool:
        sweep = self._plan.sweep
        if sweep.runs is not None and len(self.trials) >= sweep.runs:
            return True
        return sweep.minutes is not None and self.minutes >= sweep.minutes
