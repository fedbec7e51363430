"""Drives trials through an executor: keeps its slots busy, follows what comes back, and stops trials early."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cvexp.errors import Interrupted
from cvexp.executors.seam import Attempt, Ended, Epoch, Lost, Started
from cvexp.results import Metric
from cvexp.runs import CONFIRMS, TRIAL_NUMBER
from cvexp.training.outputs import Outputs
from cvexp.training.signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from cvexp.executors.seam import Event, Executor
    from cvexp.jobs.trials import Known, Trial
    from cvexp.settings import StoreSettings
    from cvexp.sweep.halving import Halving

OF_TRIALS = Outputs(test=False, pictures=False, program=False)
"""What trials leave: `cvexp evaluate RUN --store`, `confmat` and `predict` make the rest later."""

OF_REPEATS = Outputs(test=False, pictures=False)
"""What the repeats of the best leave: one of them may be registered."""

FULL = Outputs(test=False)

MOST_LOST = 3
"""Workers that one trial may lose in one start; then it has failed."""

POLL_SECONDS = 0.5
STOP_SECONDS = 8.0
"""How long workers may take to keep a checkpoint and end; then they are killed, and the checkpoint before stays."""


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
class Driver:
    """Trains what `run` is given; the executor's slots decide how much at once.

    Attributes:
        tags: Of all runs.
        command: What was typed, for a tag.
        reread: Gives what the store knows by now.
        full: Whether runs leave pictures and a logged model.
        resumable: Ids of runs that can go on here.
        halving: Says which trials stop early; None for none.
        lost: How often each trial lost its worker in this start.
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
    lost: dict[str, int] = field(default_factory=dict)
    _under_way: dict[str, Trial] = field(default_factory=dict)
    _leaving: bool = False

    def run(self, upcoming: Callable[[], Trial | None]) -> None:
        """Train what `upcoming` gives, one after the other for each slot, until it gives None and all have ended.

        It is asked when a slot is free, and again after a trial has ended, even if it gave None before.

        Raises:
            Interrupted: A signal asked for a stop; the trials under way were stopped with a checkpoint first.
        """
        with StopSignals() as signals, signals.deferred():
            self._fill(upcoming, signals)
            while self._under_way:
                for event in self.executor.events(POLL_SECONDS):
                    self._take(event)
                    if signals.signum is not None:
                        break
                    self._fill(upcoming, signals)
                if signals.signum is not None:
                    break
            if signals.signum is not None:
                self._leave(signals.signum)

    def _fill(self, upcoming: Callable[[], Trial | None], signals: StopSignals) -> None:
        while len(self._under_way) < self.executor.n_slots and signals.signum is None:
            trial = upcoming()
            if trial is None:
                return
            self._begin(trial)

    def _begin(self, trial: Trial) -> None:
        goes_on = bool(trial.run_id) and trial.run_id in self.resumable
        trial.attempts += 1
        trial.state, trial.pruning = "running", None
        self._under_way[trial.key] = trial
        own = {TRIAL_NUMBER: str(trial.number), CONFIRMS: trial.confirms}
        if self.watcher is not None:
            self.watcher.began(trial)
        self.executor.submit(
            Attempt(
                trial=trial.key,
                number=trial.attempts,
                config=trial.config.params(),
                store={"tracking_uri": self.settings.tracking_uri, "experiment": self.settings.experiment},
                data_dir=str(self.data_dir),
                tags={name: value for name, value in {**self.tags, **own}.items() if value},
                outputs=FULL if self.full else OF_REPEATS if trial.confirms else OF_TRIALS,
                resume=trial.run_id if goes_on else None,
                command=self.command,
            )
        )

    def _take(self, event: Event) -> None:
        trial = self._under_way.get(event.trial)
        if trial is None or event.number != trial.attempts:  # of an attempt that was given up
            return
        match event:
            case Started(run_id=run_id, run_name=run_name):
                trial.run_id, trial.run_name, trial.started_at = run_id, run_name, self.clock()
                self._tell(trial, ended=False)
            case Epoch():
                self._epoch(trial, event)
                self._tell(trial, ended=False)
            case Ended(status="KILLED", reason=reason) if not self._leaving:
                self._lose(trial, reason)
            case Ended():
                self._end(trial, event)
            case Lost(reason=reason):
                self._lose(trial, reason)

    def _epoch(self, trial: Trial, event: Epoch) -> None:
        trial.epochs, trial.metrics = event.epoch, {**trial.metrics, **event.values}
        loss = event.values.get(Metric.VAL_LOSS)
        if self.halving is None or loss is None or trial.confirms:
            return
        if self.halving.stops(trial.key, event.epoch, loss, n_epochs=event.n_epochs) and trial.pruning is None:
            trial.pruning = event.epoch
            self.executor.stop(trial.key, early=True)

    def _end(self, trial: Trial, event: Ended) -> None:
        del self._under_way[trial.key]
        trial.run_id, trial.run_name = event.run_id or trial.run_id, event.run_name or trial.run_name
        trial.metrics = {**trial.metrics, **event.metrics}
        trial.seconds = event.metrics.get(Metric.TOTAL_SECONDS, trial.seconds)
        self.trouble = event.trouble or self.trouble
        if event.status == "FINISHED":
            self.trained += 1
            early = trial.pruning is not None and trial.epochs < trial.config.epochs
            trial.state, trial.reason = ("pruned" if early else "finished"), ""
        else:
            trial.state = "interrupted" if event.status == "KILLED" else "failed"
            trial.reason = event.reason
        self._tell(trial, ended=True)

    def _lose(self, trial: Trial, reason: str) -> None:
        """A worker is gone: try again, in the same run where its checkpoint is here."""
        del self._under_way[trial.key]
        self.lost[trial.key] = self.lost.get(trial.key, 0) + 1
        if self.lost[trial.key] >= MOST_LOST:
            trial.state, trial.reason = "failed", f"{reason}, {MOST_LOST} times"
            self._tell(trial, ended=True)
            return
        known = self.reread()
        self.resumable |= known.resumable
        found = (known.repeats if trial.confirms else known.trials).get(trial.key)
        if found is not None and found.ended:  # its worker died before it could say so
            trial.state, trial.run_id, trial.metrics = found.state, found.run_id, found.metrics
            trial.epochs, trial.seconds = found.epochs, found.seconds
            self.trained += 1
            self._tell(trial, ended=True)
            return
        trial.state, trial.reason = "interrupted", reason
        self._tell(trial, ended=True)
        self._begin(trial)

    def _leave(self, signum: int) -> None:
        """Stop what is under way, wait until it has written its checkpoints, and raise Interrupted."""
        self._leaving = True
        for key in [*self._under_way]:
            self.executor.stop(key)
        deadline, is_hard = time.monotonic() + STOP_SECONDS, False
        while self._under_way:
            if not is_hard and time.monotonic() > deadline:
                is_hard = True
                for key in [*self._under_way]:
                    self.executor.stop(key)
            for event in self.executor.events(POLL_SECONDS):
                if isinstance(event, Lost) and event.trial in self._under_way:
                    event = Ended(trial=event.trial, number=event.number, status="KILLED", reason=event.reason)  # noqa: PLW2901
                self._take(event)
        raise Interrupted(signum)

    def _tell(self, trial: Trial, *, ended: bool) -> None:
        if self.watcher is not None:
            (self.watcher.ended if ended else self.watcher.moved)(trial)


def in_order(trials: Iterable[Trial]) -> Callable[[], Trial | None]:
    """What `Driver.run` is given to train these trials, each once."""
    waiting = iter(trials)
    return lambda: next(waiting, None)
