"""One attempt at a trial, as an executor's worker runs it: a run is trained, or goes on, and events say how it does."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.config.stored import config_of
from cvexp.data.last import LastDataset
from cvexp.errors import CvexpError, Interrupted, RunError
from cvexp.events import STOP, EpochEnded, TrainingStarted
from cvexp.executors.seam import Ended, Epoch, Started
from cvexp.jobs import resume, train
from cvexp.jobs.continue_run import is_continuable
from cvexp.runs import ATTEMPT, PRUNED, TRIAL
from cvexp.settings import store_settings
from cvexp.training.initial_weights import interpolation_of
from cvexp.training.outputs import EVERYTHING
from cvexp.training.shared import shared_url
from cvexp.training.signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cvexp.events import Observed
    from cvexp.executors.seam import Attempt, Channel, Status
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings
    from cvexp.training.features import LastFeatures

LOCK_SECONDS, POLL_SECONDS = 15.0, 0.2
"""How long a further attempt waits for the process of the one before it, which may be writing its last checkpoint."""


@lru_cache(maxsize=1)
def _kept(data_dir: Path) -> tuple[LastDataset, LastFeatures]:
    """What a worker keeps from one attempt to the next: the last dataset, and the last features."""
    from cvexp.training.features import LastFeatures

    return LastDataset(data_dir), LastFeatures()


def run(attempt: Attempt, channel: Channel) -> Ended:
    """Train what the attempt asks for, or go on with the run it names, and say how that ended.

    A further attempt at a trial goes on with the run that the one before it left on this machine, or continues the one
    that it left on another in a new run, if its checkpoints are shared. In the main thread a signal stops it, in any
    thread `channel.asked()` does.
    """
    with StopSignals() as signals:
        watched = _Watched(attempt, channel, signals)
        try:
            result = _train(attempt, watched, signals)
        except Interrupted as stop:
            what, *hints = stop.hints or ("interrupted",)
            return watched.ended("KILLED", reason=what, hints=tuple(hints), exit_code=128 + stop.signum)
        except CvexpError as error:
            return watched.ended("FAILED", reason=error.what, hints=error.hints, exit_code=error.exit_code)
    return replace(
        watched.ended("FINISHED"),
        run_id=result.run_id,
        run_name=result.run_name,
        metrics=result.metrics(),
        waiting=result.undelivered,
        trouble=result.trouble,
    )


def _train(attempt: Attempt, watched: _Watched, signals: StopSignals) -> TrainResult:
    config = config_of(attempt.config)
    if attempt.device is not None:
        config = replace(config, device=attempt.device)
    data_dir = Path(attempt.data_dir)
    settings = store_settings(attempt.store["tracking_uri"], attempt.store["experiment"])
    is_further = attempt.number > 1 or attempt.continues is not None
    left = attempt.resume or (_left_by_earlier(attempt.trial, settings) if is_further else None)
    policy = replace(attempt.policy, shared=attempt.policy.shared or shared_url() or attempt.checkpoints)
    if left is None and attempt.continues and is_continuable(attempt.continues, settings, policy):
        left = attempt.continues
    datasets, features = _kept(data_dir)
    watched.n_epochs = config.epochs
    if left is not None:  # its model was trusted when the attempt was made
        start = partial(resume.run, left, settings, model=config.model, outputs=attempt.outputs)
    else:
        start = partial(
            train.run,
            config,
            settings,
            name=attempt.name,
            n_slots=attempt.n_slots,
            outputs=attempt.outputs or EVERYTHING,
            recovering=False,
        )
    with _threads_of(attempt):
        return start(
            data_dir=data_dir,
            dataset=datasets(config, interpolation=interpolation_of(config)),
            features=features,
            seeds=attempt.seeds,
            policy=policy,
            command=attempt.command or None,
            observer=watched,
            tags={**attempt.tags, TRIAL: attempt.trial, ATTEMPT: str(attempt.number)},
            end_tags=watched.end_tags,
            stop_signals=signals,
        )


@contextlib.contextmanager
def _threads_of(attempt: Attempt) -> Iterator[None]:
    """Within the block torch has the threads of the attempt's slot: those it is given, or its share of the CPUs."""
    from cvexp.device import default_threads, threads

    with threads(attempt.threads or max(1, default_threads() // attempt.n_slots)):
        yield


def _left_by_earlier(trial: str, settings: StoreSettings) -> str | None:
    """The id of the run that an earlier attempt at the trial left here, once its process has let it go.

    Raises:
        RunError: Another process is writing it.
    """
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.local import belongs, folders, lock_if_free

    left = None
    for folder in folders(settings):
        with contextlib.suppress(RunError):  # a damaged journal concerns its own run only
            journal = Journal(folder)
            if journal.tags.get(TRIAL) == trial and belongs(journal, settings):
                left = folder
    if left is None:
        return None
    deadline = time.monotonic() + LOCK_SECONDS
    while time.monotonic() < deadline:
        with lock_if_free(left) as free:
            if free:
                return Journal(left).run_id
        time.sleep(POLL_SECONDS)
    raise RunError(f"run {left.name} of the trial is being written by another process", "wait for it, or end it")


class _Watched:
    """The observer of an attempt's training: passes on how it does, and stops it when the executor asks."""

    def __init__(self, attempt: Attempt, channel: Channel, signals: StopSignals) -> None:
        self._attempt, self._channel, self._signals = attempt, channel, signals
        self._run_id = self._run_name = ""
        self._n_done = 0
        self._stopped_early = False
        self.n_epochs = 0

    def __call__(self, event: Observed) -> bool | None:
        """See events.Observer."""
        trial, number = self._attempt.trial, self._attempt.number
        match event:
            case TrainingStarted():
                self._run_id, self._run_name, self.n_epochs = event.run_id, event.run_name, event.config.epochs
                self._channel.emit(Started(trial=trial, number=number, run_id=event.run_id, run_name=event.run_name))
            case EpochEnded():
                self._n_done = event.metrics.epoch
                values = event.metrics.keyed()
                done = Epoch(trial=trial, number=number, epoch=self._n_done, n_epochs=self.n_epochs, values=values)
                self._channel.emit(done)
        asked = self._channel.asked()
        if asked == "now":
            self._signals.ask(signal.SIGTERM)
        self._stopped_early = self._stopped_early or asked == "early"
        return STOP if self._stopped_early else None

    def end_tags(self) -> dict[str, str]:
        """What to tag the run with when it has ended."""
        pruned = self._stopped_early and self._n_done < self.n_epochs
        return {PRUNED: str(self._n_done)} if pruned else {}

    def ended(self, status: Status, *, reason: str = "", hints: tuple[str, ...] = (), exit_code: int = 0) -> Ended:
        """How the attempt ended."""
        return Ended(
            trial=self._attempt.trial,
            number=self._attempt.number,
            run_id=self._run_id,
            run_name=self._run_name,
            status=status,
            reason=reason,
            hints=hints,
            exit_code=exit_code,
        )
