"""The runs of a plan, trained by the workers of an executor several at once. What a worker loses is tried again."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.model import names_code
from cvexp.errors import InputError, Interrupted, TrainingError
from cvexp.executors.seam import Attempt, Ended, Started
from cvexp.jobs.driving import drive
from cvexp.jobs.plan import AGAIN, steps_of
from cvexp.runs import TRIAL
from cvexp.training.shared import shared_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from cvexp.executors.seam import Event, Executor
    from cvexp.jobs.plan import Step
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.training.outputs import Outputs


@dataclass(kw_only=True, slots=True)
class PlanWork:
    """Trains what is not trained yet through `executor`, which its owner closes. See `driving.Work`.

    Attributes:
        seeds: Those of the repeats that the runs are; empty where the plan is not one model's.
        policy: When and where checkpoints are written, and how many stay.
        outputs: What each run leaves; see `Attempt`.
        command: What was typed, for a tag.
        left: The ids of runs by trial that earlier drivers' workers left, on any machine.
        on_skip: Called with each step that is trained already.
        on_event: Called with each event of the others.
    """

    executor: Executor
    settings: StoreSettings
    data_dir: Path
    seeds: Sequence[int] = ()
    policy: CheckpointPolicy = field(default_factory=CheckpointPolicy)
    outputs: Outputs | None = None
    command: Sequence[str] = ()
    left: Mapping[str, str] = field(default_factory=dict)
    on_skip: Callable[[Step], object] | None = None
    on_event: Callable[[Step, Event], object] | None = None
    _began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _steps: dict[str, Step] = field(default_factory=dict)
    _left: Iterator[str] = field(default_factory=lambda: iter(()))
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
        self._left = iter(self._steps)
        try:
            drive(self.executor, self, at_once=None)
        except Interrupted as stop:
            raise Interrupted(stop.signum, f"{self._state()}{self._kept()}", AGAIN) from stop
        self._raise_for_failures()
        return tuple(self._ends[key] for key in self._steps)

    def next(self) -> Attempt | None:
        """The first attempt at the next step that is not trained yet."""
        for key in self._left:
            step = self._steps[key]
            if step.done is None:
                return self._first_attempt(key, step)
            self._ends[key] = step.done
            if self.on_skip is not None:
                self.on_skip(step)
        return None

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
            continues=self.left.get(key),
            seeds=tuple(self.seeds),
            policy=self.policy,
            checkpoints=shared_url(),
            command=tuple(self.command),
        )

    def happened(self, event: Event) -> None:
        """Note the run that was opened, and pass the event on."""
        if self.on_event is not None:
            self.on_event(self._steps[event.trial], event)
        if isinstance(event, Started):
            self._run_ids[event.trial] = event.run_id

    def ended(self, end: Ended) -> None:
        """Note how a step ended."""
        self._ends[end.trial] = replace(end, run_id=end.run_id or self._run_ids.get(end.trial, ""))

    def lost(self, attempt: Attempt, reason: str) -> Attempt | None:
        """The next attempt, in the same run where it left a checkpoint; None where the run had ended."""
        del reason
        trial = attempt.trial
        planned = self._steps[trial].planned
        trusted = [planned.config.model] if names_code(planned.config.model) else []
        run_id = self._run_ids.get(trial, attempt.resume or "")
        (now,) = steps_of([planned], self.settings, trusted_factories=trusted, offline=True, preferred=run_id)
        if now.done is not None and self._is_of(attempt, now.done, run_id):
            self._ends[trial] = now.done  # it had ended, and its worker died before it could say so
            return None
        left = run_id if now.interrupted is not None and now.interrupted.run_id == run_id else None
        elsewhere = None if left else run_id or attempt.continues
        return replace(attempt, number=attempt.number + 1, resume=left, continues=elsewhere)

    def _is_of(self, attempt: Attempt, done: RunSummary, run_id: str) -> bool:
        """Whether a finished run is the attempt's own, and no earlier one of the same recipe and seed."""
        is_new = done.tags.get(TRIAL) == attempt.trial and done.started_at >= self._began
        return done.run_id == run_id or is_new

    def _state(self) -> str:
        n_done = sum(not isinstance(end, Ended) or end.status == "FINISHED" for end in self._ends.values())
        return f"{n_done} of {len(self._steps)} {'seeds' if self.seeds else 'runs'} are trained"

    def _kept(self) -> str:
        ends = [end for end in self._ends.values() if isinstance(end, Ended)]
        n_begun = sum(end.status == "KILLED" and bool(end.run_id) for end in ends)
        return f"; {n_begun} under way kept their checkpoints" if n_begun else ""

    def _raise_for_failures(self) -> None:
        failed = {key: end for key, end in self._ends.items() if isinstance(end, Ended) and end.status == "FAILED"}
        if not failed:
            return
        key, first = next(iter(failed.items()))
        what = f"{label(self._steps[key])}: {first.reason}"
        more = f" and {len(failed) - 1} more failed" if len(failed) > 1 else ""
        kind = InputError if all(one.exit_code == InputError.exit_code for one in failed.values()) else TrainingError
        raise kind(f"{what}{more}", *first.hints[:1], f"{self._state()}; then {AGAIN}")


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
