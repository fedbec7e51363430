"""Search a space: train the trials that are missing, each once, then train the best ones again with fresh seeds."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cvexp.errors import CvexpError, Interrupted, TrainingError
from cvexp.executors.registry import open_executor
from cvexp.jobs.driver_lock import driver_lock
from cvexp.jobs.plan import AGAIN
from cvexp.jobs.sweep_confirm import Confirming
from cvexp.jobs.sweep_plan import as_tried
from cvexp.jobs.sweep_search import Searching
from cvexp.jobs.trial_work import TrialWork
from cvexp.jobs.trials import known_trials, runs_where, seconds_spent
from cvexp.jobs.workers import check_workers, open_in, wait_for_orphans
from cvexp.runs import SWEEP, SWEEP_FILE
from cvexp.sweep import study
from cvexp.sweep.trials import best_first, front
from cvexp.training.initial_weights import interpolation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cvexp.executors.seam import Executor
    from cvexp.jobs.sweep_confirm import Confirmed
    from cvexp.jobs.sweep_plan import SweepPlan
    from cvexp.jobs.trial_work import Watcher
    from cvexp.jobs.trials import Known, Trial
    from cvexp.jobs.workers import Place
    from cvexp.sweep.trials import Tried


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepResult:
    """What a sweep has come to.

    Attributes:
        trials: All of them, in the order of their numbers.
        best: The finished ones by the goal, the best first; with two goals, those that none beats.
        values: Of each goal, by the trial's key, where the trial has ended.
        trained: Runs that were trained now, or to their end, repeats included.
        minutes: For how long trials ran, over all starts.
        exhausted: Whether every point of the space was tried.
        confirmed: The best ones with fresh seeds; None where that was not asked for, or cannot be done yet.
        importances: Of the settings, as shares of 1; see sweep.study.
        notes: What to know besides, a line each.
        undelivered: Records that wait to be delivered; `trouble` says why.
    """

    plan: SweepPlan
    trials: tuple[Trial, ...]
    best: tuple[Tried, ...]
    values: Mapping[str, tuple[float, ...]]
    trained: int
    minutes: float
    exhausted: bool
    confirmed: Confirmed | None = None
    importances: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    undelivered: int = 0
    trouble: str = ""

    @property
    def failed(self) -> tuple[Trial, ...]:
        """The trials, and the repeats of the best, that failed."""
        repeats = () if self.confirmed is None else self.confirmed.failed
        return (*(one for one in self.trials if one.state == "failed"), *repeats)

    def trial(self, key: str) -> Trial:
        """The trial with that key."""
        return next(one for one in self.trials if one.key == key)


class _Trainer:
    """Trains through an executor, which is opened when there is something to train."""

    def __init__(
        self,
        planned: SweepPlan,
        data_dir: Path,
        *,
        n_workers: int | None,
        where: Place | None,
        full: bool,
        command: Sequence[str],
        watcher: Watcher | None,
    ) -> None:
        self._plan, self._data_dir, self._n_workers, self._where = planned, data_dir, n_workers, where
        self._full, self._command, self._watcher = full, tuple(command), watcher
        self._work: TrialWork | None = None

    @property
    def trained(self) -> int:
        """Runs that finished."""
        return 0 if self._work is None else self._work.trained

    @property
    def trouble(self) -> str:
        """Why records wait, as of the last run that said so."""
        return "" if self._work is None else self._work.trouble

    def train(self, upcoming: Callable[[], Trial | None], known: Known, searching: Searching | None = None) -> None:
        """Train what `upcoming` gives; trials of `searching` may be stopped early. Raises what TrialWork.run does."""
        first = [upcoming()]
        if first[0] is None:
            return
        if self._work is None:
            _check(first[0], self._data_dir, n_workers=self._n_workers or 1, is_here=self._where is None)
            self._work = TrialWork(
                executor=self._opened(),
                settings=self._plan.settings,
                data_dir=self._data_dir,
                tags=self._plan.tags,
                full=self._full,
                command=self._command,
                reread=lambda: known_trials(self._plan.sweep, self._plan.settings),
                resumable=known.resumable,
                watcher=self._watcher,
            )
        self._work.halving = None if searching is None else searching.halving()
        self._work.run(lambda: first.pop() if first else upcoming())

    def _opened(self) -> Executor:
        if self._where is not None:
            return open_in(self._where, self._n_workers)
        return open_executor("inline" if self._n_workers in (None, 1) else "local", n_slots=self._n_workers)

    def close(self) -> None:
        """End the workers."""
        if self._work is not None:
            self._work.executor.close()


def run(
    planned: SweepPlan,
    *,
    data_dir: Path,
    n_workers: int | None = None,
    where: Place | None = None,
    full: bool = False,
    retry_failed: bool = False,
    command: Sequence[str] = (),
    watcher: Watcher | None = None,
) -> SweepResult:
    """Go on with the sweep until its budget is spent, then confirm its best; what is trained is not trained again.

    Trials that were interrupted go on where they stopped. Failed ones are left as they are, and with `retry_failed`
    tried again. With several `n_workers`, or `where` that is on a cluster, so many are trained at once, each by a
    process of its own; `full` ones leave pictures and a logged model. `command` is what was typed, for a tag, and
    `watcher` is told how the trials do.

    Raises:
        RunError: Another process is at it.
        TrainingError: No trial has finished.
        Interrupted: A signal asked for a stop; checkpoints were written, and the same command goes on.
    """
    with driver_lock(planned.settings, planned.sweep.digest, called=planned.called):
        wait_for_orphans(planned.settings)
        if where is not None:
            from cvexp.tracking.attempts import close_orphans

            close_orphans(planned.settings)
        known = known_trials(planned.sweep, planned.settings)
        notes = _notes(planned, known)
        searching = Searching(planned, known, retry_failed=retry_failed)
        trainer = _Trainer(
            planned, data_dir, n_workers=n_workers, where=where, full=full, command=command, watcher=watcher
        )
        with contextlib.closing(trainer), _explained(searching):
            trainer.train(searching.next, known, searching)
            trials = tuple(sorted(searching.trials.values(), key=lambda one: one.number))
            best = _best(planned, trials)
            if not best:
                raise _nothing_finished(planned, trials)
            undelivered = _undelivered(planned)
            confirming = Confirming(planned, best, known, retry_failed=retry_failed)
            if confirming.wanted and undelivered:
                notes = (*notes, "the best trials are confirmed once the store has all records")
            elif confirming.wanted:
                trainer.train(confirming.next, known)
                undelivered = _undelivered(planned)
            confirmed = confirming.judged(data_dir) if confirming.wanted and not undelivered else None
    ended = [one for one in as_tried(trials, planned.sweep).values() if one.values]
    return SweepResult(
        plan=planned,
        trials=trials,
        best=tuple(best),
        values={one.key: one.values for one in ended},
        trained=trainer.trained,
        minutes=seconds_spent(trials) / 60,
        exhausted=searching.exhausted,
        confirmed=confirmed,
        importances=study.importances(planned.sweep.space, planned.sweep.goal, ended),
        notes=notes,
        undelivered=undelivered,
        trouble=trainer.trouble if undelivered else "",
    )


def _best(planned: SweepPlan, trials: tuple[Trial, ...]) -> list[Tried]:
    sweep, seen = planned.sweep, as_tried(trials, planned.sweep).values()
    return best_first(seen, sweep.goal) if len(sweep.goals) == 1 else front(seen, sweep.goals)


def _notes(planned: SweepPlan, known: Known) -> tuple[str, ...]:
    """What to know before anything is trained: who else is at it, and whether the file asked for another sweep."""
    elsewhere = sum(one.state == "elsewhere" for one in known.trials.values())
    notes = [f"{elsewhere} trials are being trained by another process, and are left to it"] if elsewhere else []
    if not known.trials:
        found = runs_where(planned.settings, tag=SWEEP_FILE, value=planned.path.name, last=1)
        if found:
            notes.append(
                f"{planned.path.name} asked for another sweep before ({found[0].tags.get(SWEEP, '?')[:12]}): its "
                "space, goal, search, pruning or defaults have changed, so this one begins anew"
            )
    return tuple(notes)


def _check(first: Trial, data_dir: Path, *, n_workers: int, is_here: bool) -> None:
    """Refuse a device or a dataset that cannot be had before anything is trained; datasets are fetched."""
    from cvexp.data.dataset import load_dataset
    from cvexp.device import choose

    if is_here:
        check_workers(n_workers, [first.config])
        choose(first.config.device)
    load_dataset(first.config, data_dir, interpolation=interpolation_of(first.config))


def _nothing_finished(planned: SweepPlan, trials: tuple[Trial, ...]) -> CvexpError:
    reasons = [one.reason for one in trials if one.reason]
    retry = f"try them again: {planned.settings.command('run', str(planned.path), '--retry-failed')}"
    return TrainingError(
        f"no trial of {len(trials)} has finished" + (f"; the last one: {reasons[-1]}" if reasons else ""), retry
    )


def _undelivered(planned: SweepPlan) -> int:
    """The records of this sweep's runs that wait here."""
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.local import folders

    n_records = 0
    for folder in folders(planned.settings):
        with contextlib.suppress(CvexpError):  # a damaged journal concerns its own run only
            journal = Journal(folder)
            if journal.tags.get(SWEEP) == planned.sweep.digest and journal.status != "RUNNING":
                n_records += journal.unsent
    return n_records


@contextlib.contextmanager
def _explained(searching: Searching) -> Iterator[None]:
    """Have a signal's end say what was reached and how to go on."""
    try:
        yield
    except Interrupted as stop:
        trials = searching.trials.values()
        ended, kept = sum(one.ended for one in trials), sum(one.state == "interrupted" for one in trials)
        state = f"{ended} trials have ended" + (f", {kept} kept a checkpoint" if kept else "")
        raise Interrupted(stop.signum, state, AGAIN) from stop
