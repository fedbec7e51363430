"""The runs of a plan, trained by the workers of an executor several at once. What a worker loses is tried again."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cvexp.config.model import names_code
from cvexp.errors import ConfigError, DeliveryError, InputError, Interrupted, RunError, TrainingError
from cvexp.executors.registry import CLUSTERS, open_executor
from cvexp.executors.seam import Attempt, Ended, Lost, Started
from cvexp.jobs.plan import AGAIN, steps_of
from cvexp.runs import TRIAL
from cvexp.training.outputs import EVERYTHING, Outputs
from cvexp.training.signals import StopSignals

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cvexp.executors.seam import Event, Executor, Status
    from cvexp.jobs.plan import Step
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings

MOST_ATTEMPTS = 3
"""At one trial, of which the others lost their workers."""

POLL_SECONDS = 0.2
STOP_SECONDS = 8.0
"""How long workers may take to keep a checkpoint and end; then they are killed, and the checkpoint before stays."""

ORPHAN_SECONDS = 15.0
"""How long a command waits for the workers of one that was killed, which keep their checkpoints."""


@dataclass(kw_only=True, slots=True)
class Fleet:
    """Trains what is not trained yet through `executor`, which its owner closes.

    Attributes:
        outputs: What each run leaves.
        command: What was typed, for a tag.
        on_skip: Called with each step that is trained already.
        on_event: Called with each event of the others.
    """

    executor: Executor
    settings: StoreSettings
    data_dir: Path
    outputs: Outputs = EVERYTHING
    command: Sequence[str] = ()
    on_skip: Callable[[Step], object] | None = None
    on_event: Callable[[Step, Event], object] | None = None
    _began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _steps: dict[str, Step] = field(default_factory=dict)
    _attempts: dict[str, Attempt] = field(default_factory=dict)
    _run_ids: dict[str, str] = field(default_factory=dict)
    _ends: dict[str, Ended | RunSummary] = field(default_factory=dict)

    def run(self, steps: Sequence[Step]) -> tuple[Ended | RunSummary, ...]:
        """How each step ended; a RunSummary stands for one that was trained already.

        A failed run does not keep the others from being trained.

        Raises:
            CvexpError: Runs failed, or lost their workers too often; the first one is named.
            Interrupted: A signal asked for a stop; the runs under way were stopped with a checkpoint first.
        """
        self._steps = dict(zip(trial_keys(steps), steps, strict=True))
        with StopSignals() as signals, signals.deferred():
            for key, step in self._steps.items():
                if step.done is not None:
                    self._ends[key] = step.done
                    if self.on_skip is not None:
                        self.on_skip(step)
                else:
                    self._submit(self._first_attempt(key, step))
            while self._attempts and not signals.should_stop():
                for event in self.executor.events(POLL_SECONDS):
                    self._take(event)
                    if signals.should_stop():
                        break
            if signals.signum is not None:
                self._stop(signals.signum)
        self._raise_for_failures()
        return tuple(self._ends[key] for key in self._steps)

    def _first_attempt(self, key: str, step: Step) -> Attempt:
        planned = step.planned
        return Attempt(
            trial=key,
            config=planned.config.params(),
            name=planned.name,
            store={"tracking_uri": self.settings.tracking_uri, "experiment": self.settings.experiment},
            data_dir=str(self.data_dir),
            outputs=self.outputs,
            resume=None if step.interrupted is None else step.interrupted.run_id,
            command=tuple(self.command),
        )

    def _submit(self, attempt: Attempt) -> None:
        self._attempts[attempt.trial] = attempt
        self.executor.submit(attempt)

    def _take(self, event: Event, *, is_stopping: bool = False) -> None:
        attempt = self._attempts.get(event.trial)
        if attempt is None or event.number != attempt.number:
            return
        if self.on_event is not None:
            self.on_event(self._steps[event.trial], event)
        if isinstance(event, Started):
            self._run_ids[event.trial] = event.run_id
        if isinstance(event, Ended | Lost):
            del self._attempts[event.trial]
            if isinstance(event, Lost) or event.status == "KILLED":
                self._lost(attempt, event, is_stopping=is_stopping)
            else:
                self._ends[event.trial] = event

    def _lost(self, attempt: Attempt, event: Ended | Lost, *, is_stopping: bool) -> None:
        """Try again, from the checkpoint where there is one, unless the plan is being stopped."""
        trial = attempt.trial
        if is_stopping or attempt.number == MOST_ATTEMPTS:
            status: Status = "KILLED" if is_stopping else "FAILED"
            reason = f"{event.reason}, in attempt {attempt.number}"
            ended = Ended(trial=trial, number=event.number, run_id=self._run_ids.get(trial, ""), status=status)
            self._ends[trial] = replace(ended, reason=reason, exit_code=1)
            return
        planned = self._steps[trial].planned
        trusted = [planned.config.model] if names_code(planned.config.model) else []
        run_id = self._run_ids.get(trial, attempt.resume or "")
        (now,) = steps_of([planned], self.settings, trusted_factories=trusted, offline=True, preferred=run_id)
        if now.done is not None and self._is_of(attempt, now.done, run_id):
            self._ends[trial] = now.done  # it had ended, and its worker died before it could say so
        else:
            left = run_id if now.interrupted is not None and now.interrupted.run_id == run_id else None
            self._submit(replace(attempt, number=attempt.number + 1, resume=left))

    def _is_of(self, attempt: Attempt, done: RunSummary, run_id: str) -> bool:
        """Whether a finished run is the attempt's own, and no earlier one of the same recipe and seed."""
        is_new = done.tags.get(TRIAL) == attempt.trial and done.started_at >= self._began
        return done.run_id == run_id or is_new

    def _stop(self, signum: int) -> None:
        """Stop what is under way, wait until it has kept its checkpoints, and raise Interrupted."""
        for trial in self._attempts:
            self.executor.stop(trial)
        deadline = time.monotonic() + STOP_SECONDS
        is_hard = False
        while self._attempts:
            for event in self.executor.events(POLL_SECONDS):
                self._take(event, is_stopping=True)
            if not is_hard and time.monotonic() > deadline:
                is_hard = True
                for trial in self._attempts:
                    self.executor.stop(trial)
        n_begun = sum(
            isinstance(end, Ended) and end.status == "KILLED" and bool(end.run_id) for end in self._ends.values()
        )
        kept = f"; {n_begun} under way kept their checkpoints" if n_begun else ""
        raise Interrupted(signum, f"{self._state()}{kept}", AGAIN)

    def _state(self) -> str:
        n_done = sum(not isinstance(end, Ended) or end.status == "FINISHED" for end in self._ends.values())
        return f"{n_done} of {len(self._steps)} runs are trained"

    def _raise_for_failures(self) -> None:
        failed = {key: end for key, end in self._ends.items() if isinstance(end, Ended) and end.status == "FAILED"}
        if not failed:
            return
        key, first = next(iter(failed.items()))
        what = f"{label(self._steps[key])}: {first.reason}"
        more = f" and {len(failed) - 1} more failed" if len(failed) > 1 else ""
        kind = InputError if all(one.exit_code == InputError.exit_code for one in failed.values()) else TrainingError
        raise kind(f"{what}{more}", *first.hints[:1], f"{self._state()}; then {AGAIN}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """Where runs are trained: an executor of the registry, where it answers, and what each of its slots has."""

    executor: str
    address: str | None = None
    slot: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_here(self) -> bool:
        """Whether it is this machine, whose CPUs and GPUs can be looked at."""
        return self.executor not in CLUSTERS


def open_in(where: Place, n_workers: int | None) -> Executor:
    """The executor of that place; its owner closes it."""
    return open_executor(where.executor, n_slots=n_workers, address=where.address, slot=where.slot)


@contextlib.contextmanager
def opened(where: Place, n_workers: int | None) -> Iterator[Executor]:
    """The executor of that place, whose workers leave when the block does; those that still train are ended first."""
    executor = open_in(where, n_workers)
    try:
        yield executor
    finally:
        executor.close()


def check_delivered(run_ids: Sequence[str], settings: StoreSettings) -> None:
    """Raise DeliveryError where these runs left records that the store does not have, not even by now."""
    from cvexp.tracking.recovery import recover

    if not _waiting(run_ids, settings):
        return
    recover(settings)
    if left := _waiting(run_ids, settings):
        raise DeliveryError(
            f"all {len(run_ids)} runs are trained, and {sum(left.values()):,} records wait for the store",
            f"deliver them when it answers: {settings.command('sync')}",
        )


def _waiting(run_ids: Sequence[str], settings: StoreSettings) -> dict[str, int]:
    """By run, the records that wait here."""
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.local import folders

    found = {}
    for folder in folders(settings):
        with contextlib.suppress(RunError):  # a damaged journal concerns its own run only
            journal = Journal(folder)
            if journal.unsent and journal.run_id in run_ids:
                found[journal.run_id] = journal.unsent
    return found


def label(step: Step) -> str:
    """How messages name a step."""
    config = step.planned.config
    return f"{step.planned.name or config.model} seed {config.seed}"


def trial_keys(steps: Sequence[Step]) -> list[str]:
    """A key for each step: its recipe and seed, and a number where a plan has the same one again."""
    seen: Counter[str] = Counter()
    keys = []
    for step in steps:
        key = f"{step.recipe}-{step.planned.config.seed}"
        seen[key] += 1
        keys.append(key if seen[key] == 1 else f"{key}-{seen[key]}")
    return keys


def check_workers(n_workers: int, steps: Sequence[Step]) -> None:
    """Refuse more workers than there are CPUs, and settings that take what other workers were given.

    Raises:
        ConfigError: It says which.
    """
    from cvexp.device import usable_cpus

    n_cpus = usable_cpus()
    if not 1 <= n_workers <= n_cpus:
        raise ConfigError(
            f"--workers {n_workers}: a worker needs a CPU, and {n_cpus} may be used here", f"give 1 to {n_cpus}"
        )
    for config in (step.planned.config for step in steps if step.done is None):
        if n_workers > 1 and config.threads is not None and config.threads * n_workers > n_cpus:
            raise ConfigError(
                f"--workers {n_workers} with threads {config.threads} takes more than the {n_cpus} CPUs here",
                "leave threads out: each worker takes its share",
            )
        if n_workers > 1 and ":" in config.device:
            raise ConfigError(
                f"--workers {n_workers} with device {config.device}: each worker is given a GPU of its own",
                "leave device out, or name its kind alone: cuda",
            )


def wait_for_orphans(settings: StoreSettings) -> None:
    """Wait some seconds for workers whose driver was killed: they keep their checkpoints and leave."""
    from cvexp.executors.worker import is_orphan
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.liveness import PID
    from cvexp.tracking.local import folders, lock_if_free

    deadline = time.monotonic() + ORPHAN_SECONDS
    for folder in folders(settings):
        pid = ""
        with contextlib.suppress(RunError):  # a damaged journal concerns its own run only
            pid = Journal(folder).tags.get(PID, "")
        while pid.isdecimal() and is_orphan(int(pid)) and time.monotonic() < deadline:
            with lock_if_free(folder) as free:
                if free or not folder.is_dir():
                    break
            time.sleep(POLL_SECONDS)
