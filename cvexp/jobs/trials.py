"""The trials of a sweep as the tracking store, and the runs that wait here, know them. Nothing is written."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from cvexp.config.stored import config_of
from cvexp.errors import ConfigError, StoreError, UnreachableStoreError
from cvexp.results import Metric
from cvexp.runs import CONFIRMS, PRUNED, SWEEP, TRIAL, TRIAL_NUMBER
from cvexp.sweep.trials import Tried

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from cvexp.config import RunConfig
    from cvexp.config.sweep import Point, Sweep
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings

TrialState = Literal["new", "running", "elsewhere", "finished", "pruned", "failed", "interrupted"]
"""`elsewhere`: a process that is no worker of this driver trains it; `new`: no run of it is known."""

MAX_DIGITS = 9
_ERROR = re.compile(r"^\w+Error: ")


@dataclass(kw_only=True, slots=True)
class Trial:
    """One training of a sweep, and what became of it so far; a driver updates it.

    Attributes:
        number: Of its draw, from 0 on.
        key: Of its recipe and its seed.
        attempts: Runs that were begun.
        run_id: Of the run that counts: the first that finished, else the last.
        epochs: That were trained.
        metrics: By key; the last value of each.
        reason: Why it failed, in one line.
        confirms: The key of the trial that this one repeats with a fresh seed; empty for a trial of the search.
        pruning: The epoch after which it was told to stop early; None as long as it was not.
        seconds: That its run took, and the seconds since 1970 when it began.
    """

    number: int
    key: str
    point: Point
    config: RunConfig
    state: TrialState = "new"
    attempts: int = 0
    run_id: str = ""
    run_name: str = ""
    epochs: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    reason: str = ""
    confirms: str = ""
    pruning: int | None = None
    seconds: float = 0.0
    started_at: float = 0.0

    @property
    def seed(self) -> int:
        """Of the training."""
        return self.config.seed

    @property
    def ended(self) -> bool:
        """Whether it has figures that count: it finished, or was pruned."""
        return self.state in ("finished", "pruned")


@dataclass(frozen=True, kw_only=True, slots=True)
class Known:
    """What is known of a sweep: its trials, and the repeats of the best, both by key; ids of those that can go on."""

    trials: dict[str, Trial]
    repeats: dict[str, Trial]
    resumable: frozenset[str]


def known_trials(sweep: Sweep, settings: StoreSettings) -> Known:
    """Read what the store and this machine know of the sweep; where the store does not answer, what is here.

    Raises:
        StoreError: The store cannot be read.
    """
    by_key: dict[str, list[RunSummary]] = {}
    for run in runs_where(settings, tag=SWEEP, value=sweep.digest):
        by_key.setdefault(run.tags.get(TRIAL, ""), []).append(run)
    trials: dict[str, Trial] = {}
    repeats: dict[str, Trial] = {}
    for key, runs in by_key.items():
        trial = _trial(key, sorted(runs, key=lambda run: run.started_at), sweep)
        if trial is not None:
            (repeats if trial.confirms else trials)[key] = trial
    return Known(trials=trials, repeats=repeats, resumable=resumable_here(settings))


def runs_where(
    settings: StoreSettings, *, tag: str, value: str, last: int | None = None, recovering: bool = True
) -> list[RunSummary]:
    """The experiment's runs with a tag, those that the store does not know yet too; none where there is no store.

    `last` is the most of the store's to find, and `value` text without control characters. Without `recovering`, what
    ended processes left is not delivered first.
    """
    from cvexp.tracking.local import local_runs
    from cvexp.tracking.queries import search
    from cvexp.tracking.recovery import recover
    from cvexp.tracking.store import open_store

    found: list[RunSummary] = []
    if settings.sqlite_file is None or settings.sqlite_file.exists():
        if recovering:  # a run may have finished without the store knowing
            recover(settings)
        try:
            if "'" not in value:  # which the filter language cannot quote
                found = search(open_store(settings, create=False), where=f"tags.`{tag}` = '{value}'", last=last)
        except UnreachableStoreError:
            return _tagged(local_runs(settings, experiment=settings.experiment), tag, value)
        except StoreError as error:
            if not error.what.startswith("no experiment is called"):
                raise
    return found + _tagged(local_runs(settings, only_unknown=True, experiment=settings.experiment), tag, value)


def _tagged(runs: Iterable[RunSummary], tag: str, value: str) -> list[RunSummary]:
    return [run for run in runs if run.tags.get(tag) == value]


def resumable_here(settings: StoreSettings) -> frozenset[str]:
    """The ids of the runs that were interrupted, or failed, and left a folder here that no process is writing."""
    from cvexp.tracking.local import leftovers

    found = (one for one in leftovers(settings) if not one.problem)
    return frozenset(one.run_id for one in found if one.status not in ("RUNNING", "FINISHED"))


def _trial(key: str, runs: Sequence[RunSummary], sweep: Sweep) -> Trial | None:
    """The trial of some runs, the earliest first; None where they do not say what a trial's do, as others' may."""
    finished = next((run for run in runs if run.status == "FINISHED"), None)
    run = finished or runs[-1]
    point, number = sweep.point_of(run.params), run.tags.get(TRIAL_NUMBER, "")
    if point is None or not (number.isascii() and number.isdigit() and len(number) <= MAX_DIGITS) or not key:
        return None
    try:
        config = config_of(run.params)
    except ConfigError:
        return None
    trained = run.settings.get("epochs", "")
    states: dict[str, TrialState] = {"FAILED": "failed", "RUNNING": "elsewhere"}
    ended: TrialState = "pruned" if PRUNED in run.tags else "finished"
    return Trial(
        number=int(number),
        key=key,
        point=point,
        config=config,
        state=ended if finished else states.get(run.status, "interrupted"),
        attempts=len(runs),
        run_id=run.run_id,
        run_name=run.name,
        epochs=int(trained) if finished and trained.isdecimal() else 0,
        metrics=run.metrics,
        reason=_ERROR.sub("", run.tags.get("cvexp.end_reason", "")) if run.status == "FAILED" else "",
        confirms=run.tags.get(CONFIRMS, ""),
        seconds=run.metrics.get(Metric.TOTAL_SECONDS, 0.0),
        started_at=run.started_at.timestamp(),
    )


def tried(trial: Trial, sweep: Sweep, cost_of: Callable[[RunConfig, str], float]) -> Tried:
    """The trial as the search sees it; `cost_of` gives the parameters or MACs of a configuration's model."""
    values: tuple[float, ...] = ()
    if trial.ended and sweep.goal.figure in trial.metrics:
        costs = [cost_of(trial.config, goal.figure) for goal in sweep.goals[1:]]
        values = (trial.metrics[sweep.goal.figure], *costs)
    states: dict[TrialState, Literal["finished", "pruned", "failed"]] = {
        "finished": "finished",
        "pruned": "pruned",
        "failed": "failed",
    }
    return Tried(
        number=trial.number,
        key=trial.key,
        point=trial.point,
        state=states.get(trial.state, "waiting"),
        values=values,
        epochs=trial.epochs,
    )


def losses_of(trials: Iterable[Trial], settings: StoreSettings) -> dict[str, dict[int, float]]:
    """The validation loss of trials of earlier starts by key and epoch; those that cannot be read are left out."""
    from cvexp.tracking.histories import history_of

    found = {}
    for trial in trials:
        with contextlib.suppress(StoreError):
            found[trial.key] = history_of(settings, trial.run_id, Metric.VAL_LOSS.value)
    return found


def seconds_spent(trials: Iterable[Trial]) -> float:
    """For how long any of the trials ran: times in which several did count once."""
    spent, until = 0.0, 0.0
    for start, seconds in sorted((one.started_at, one.seconds) for one in trials if one.seconds > 0):
        spent += max(0.0, start + seconds - max(start, until))
        until = max(until, start + seconds)
    return spent
