"""The trials of a sweep, trained by the workers of an executor: what each is given, and what becomes of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cvexp.executors.seam import Attempt, Epoch, Started
from cvexp.jobs.driving import drive
from cvexp.results import Metric
from cvexp.runs import CONFIRMS, TRIAL_NUMBER
from cvexp.training.outputs import Outputs
from cvexp.training.shared import shared_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from cvexp.executors.seam import Ended, Event, Executor
    from cvexp.jobs.trials import Known, Trial
    from cvexp.settings import StoreSettings
    from cvexp.sweep.halving import Halving

OF_TRIALS = Outputs(test=False, pictures=False, program=False)
"""What trials leave: `cvexp evaluate RUN --store`, `confmat` and `predict` make the rest later."""

OF_REPEATS = Outputs(test=False, pictures=False)
"""What the repeats of the best leave: one of them may be registered."""

FULL = Outputs(test=False)


class Watcher(Protocol):
    """Is told of what happens."""

    def began(self, trial: Trial) -> None:
        """A trial was given to the executor."""
        ...

    def moved(self, trial: Trial) -> None:
        """A trial's run is open, or an epoch has ended."""
        ...

    def ended(self, trial: Trial) -> None:
        """A trial has ended, whatever became of it."""
        ...


@dataclass(kw_only=True, slots=True)
class TrialWork:
    """Trains what `run` is given; the executor's slots decide how much at once. See `driving.Work`.

    Attributes:
        tags: Of all runs.
        command: What was typed, for a tag.
        reread: Gives what the store knows by now.
        full: Whether runs leave pictures and a logged model.
        resumable: Ids of runs that can go on here.
        halving: Says which trials stop early; None for none.
        trained: Runs that finished.
        trouble: Why records of runs wait to be delivered, as of the last one that said so.
    """

    executor: Executor
    settings: StoreSettings
    data_dir: Path
    tags: Mapping[str, str]
    resumable: frozenset[str] = frozenset()
    halving: Halving | None = None
    reread: Callable[[], Known]
    full: bool = False
    command: tuple[str, ...] = ()
    watcher: Watcher | None = None
    clock: Callable[[], float] = time.time
    trained: int = 0
    trouble: str = ""
    _upcoming: Callable[[], Trial | None] = lambda: None
    _trials: dict[str, Trial] = field(default_factory=dict)

    def run(self, upcoming: Callable[[], Trial | None]) -> None:
        """Train what `upcoming` gives, one after the other for each slot, until it gives None and all have ended.

        It is asked when a slot is free, and again after a trial has ended, even if it gave None before.

        Raises:
            Interrupted: A signal asked for a stop; the trials under way were stopped with a checkpoint first.
        """
        self._upcoming = upcoming
        drive(self.executor, self, at_once=self.executor.n_slots)

    def next(self) -> Attempt | None:
        """The attempt at the next trial."""
        trial = self._upcoming()
        return None if trial is None else self._begun(trial)

    def _begun(self, trial: Trial) -> Attempt:
        goes_on = bool(trial.run_id) and trial.run_id in self.resumable
        left = trial.run_id if trial.state == "interrupted" and not goes_on else None
        trial.attempts += 1
        trial.state, trial.pruning = "running", None
        self._trials[trial.key] = trial
        own = {TRIAL_NUMBER: str(trial.number), CONFIRMS: trial.confirms}
        if self.watcher is not None:
            self.watcher.began(trial)
        return Attempt(
            trial=trial.key,
            number=trial.attempts,
            config=trial.config.params(),
            store={"tracking_uri": self.settings.tracking_uri, "experiment": self.settings.experiment},
            data_dir=str(self.data_dir),
            tags={name: value for name, value in {**self.tags, **own}.items() if value},
            outputs=FULL if self.full else OF_REPEATS if trial.confirms else OF_TRIALS,
            resume=trial.run_id if goes_on else None,
            continues=left or None,
            checkpoints=shared_url(),
            command=self.command,
        )

    def happened(self, event: Event) -> None:
        """Note which run was opened, and an epoch's figures; a trial that is not worth its time is asked to stop."""
        trial = self._trials[event.trial]
        match event:
            case Started(run_id=run_id, run_name=run_name):
                trial.run_id, trial.run_name, trial.started_at = run_id, run_name, self.clock()
                self._tell(trial, ended=False)
            case Epoch():
                self._epoch(trial, event)
                self._tell(trial, ended=False)

    def _epoch(self, trial: Trial, event: Epoch) -> None:
        trial.epochs, trial.metrics = event.epoch, {**trial.metrics, **event.values}
        loss = event.values.get(Metric.VAL_LOSS)
        if self.halving is None or loss is None or trial.confirms:
            return
        if self.halving.stops(trial.key, event.epoch, loss, n_epochs=event.n_epochs) and trial.pruning is None:
            trial.pruning = event.epoch
            self.executor.stop(trial.key, early=True)

    def ended(self, end: Ended) -> None:
        """Note what became of a trial."""
        trial = self._trials[end.trial]
        trial.run_id, trial.run_name = end.run_id or trial.run_id, end.run_name or trial.run_name
        trial.metrics = {**trial.metrics, **end.metrics}
        trial.seconds = end.metrics.get(Metric.TOTAL_SECONDS, trial.seconds)
        self.trouble = end.trouble or self.trouble
        if end.status == "FINISHED":
            self.trained += 1
            early = trial.pruning is not None and trial.epochs < trial.config.epochs
            trial.state, trial.reason = ("pruned" if early else "finished"), ""
        else:
            trial.state = "interrupted" if end.status == "KILLED" else "failed"
            trial.reason = end.reason
        self._tell(trial, ended=True)

    def lost(self, attempt: Attempt, reason: str) -> Attempt | None:
        """The next attempt, in the same run where its checkpoint is here; None where the trial had ended."""
        trial, known = self._trials[attempt.trial], self.reread()
        self.resumable |= known.resumable
        found = (known.repeats if trial.confirms else known.trials).get(trial.key)
        if found is not None and found.ended:  # its worker died before it could say so
            trial.state, trial.run_id, trial.metrics = found.state, found.run_id, found.metrics
            trial.epochs, trial.seconds = found.epochs, found.seconds
            self.trained += 1
            self._tell(trial, ended=True)
            return None
        trial.state, trial.reason = "interrupted", reason
        self._tell(trial, ended=True)
        return self._begun(trial)

    def _tell(self, trial: Trial, *, ended: bool) -> None:
        if self.watcher is not None:
            (self.watcher.ended if ended else self.watcher.moved)(trial)


def in_order(trials: Iterable[Trial]) -> Callable[[], Trial | None]:
    """What `TrialWork.run` is given to train these trials, each once."""
    waiting = iter(trials)
    return lambda: next(waiting, None)
