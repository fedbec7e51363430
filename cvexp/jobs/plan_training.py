"""Trains the steps of a plan: one after the other in this process, or several at once by workers, here or elsewhere."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.jobs.driver_lock import driver_lock
from cvexp.jobs.plan_work import PlanWork
from cvexp.jobs.workers import Place, check_workers, opened
from cvexp.training.initial_weights import interpolation_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from cvexp.config import RunConfig
    from cvexp.executors.seam import Ended, Event
    from cvexp.jobs.plan import Step, Trainer
    from cvexp.results import TrainResult
    from cvexp.runs import RunSummary


@dataclass(frozen=True, kw_only=True, slots=True)
class PlanTraining:
    """How the steps of a plan are trained.

    Attributes:
        trainer: What each run is trained with; it trains them itself where there are no workers.
        work: Identifies the plan: another process is refused that trains it in the same store.
        called: How a message names the plan.
        n_workers: How many runs are trained at once, each by a process of its own; one or None: in this process.
        where: The cluster that trains them; None for this machine.
        again: Whether runs that earlier commands left on other machines do not count.
        on_skip: Called with each step that is trained already.
        on_end: Called with each step that this process has just trained.
        on_event: Called with what the workers do.
    """

    trainer: Trainer
    work: str
    called: str
    n_workers: int | None = None
    where: Place | None = None
    again: bool = False
    on_skip: Callable[[Step], object] | None = None
    on_end: Callable[[Step, TrainResult], object] | None = None
    on_event: Callable[[Step, Event], object] | None = None

    def run(self, steps: Sequence[Step]) -> tuple[TrainResult | Ended | RunSummary, ...]:
        """Train what is not trained yet; a RunSummary stands for what was.

        Raises:
            InputError: As for training, and where another process trains the plan; runs that ended before stay.
            TrainingError: Likewise.
            Interrupted: A signal asked for a stop; the runs under way keep a checkpoint.
        """
        todo = wanted(steps)  # without any, no cluster is joined for nothing
        in_this_process = not todo or (self.where is None and self.n_workers in (None, 1))
        where = self.where or Place(executor="local")
        if where.is_here:
            check_workers(1 if self.n_workers is None else self.n_workers, todo)
        self._check(todo, reads_first=in_this_process, is_here=where.is_here)
        with self._lock() if todo else nullcontext():
            if in_this_process:
                return self.trainer.run(steps, on_skip=self.on_skip, on_end=self.on_end)
            return self._by_workers(steps, where)

    def _lock(self) -> AbstractContextManager[None]:
        return driver_lock(self.trainer.settings, self.work, called=self.called)

    def _check(self, todo: Sequence[RunConfig], *, reads_first: bool, is_here: bool) -> None:
        """Refuse a device or a dataset that cannot be had before anything is trained.

        With `reads_first` the training begins by reading the first one, in this process; unless it `is_here`, its
        devices are other machines'. Datasets are fetched, and image files decoded at each size that is asked for.
        """
        if not todo:
            return
        from cvexp.data.dataset import load_dataset
        from cvexp.device import choose

        for device in dict.fromkeys(config.device for config in todo if is_here):
            choose(device)
        datasets: dict[tuple[object, ...], RunConfig] = {}
        for config in todo:
            made = (config.dataset, config.image_size, config.resize, interpolation_of(config))
            datasets.setdefault(made, config)
        for config in [*datasets.values()][reads_first:]:
            load_dataset(config, self.trainer.datasets.data_dir, interpolation=interpolation_of(config))

    def _by_workers(self, steps: Sequence[Step], where: Place) -> tuple[Ended | RunSummary, ...]:
        trainer = self.trainer
        left: Mapping[str, str] = {}
        if not where.is_here:
            from cvexp.tracking.attempts import close_orphans, interrupted_attempts

            close_orphans(trainer.settings)
            left = {} if self.again else interrupted_attempts(trainer.settings)
        with opened(where, self.n_workers) as executor:
            work = PlanWork(
                executor=executor,
                settings=trainer.settings,
                data_dir=trainer.datasets.data_dir,
                seeds=trainer.seeds,
                policy=trainer.policy or CheckpointPolicy(),
                outputs=trainer.outputs,
                command=trainer.command or (),
                left=left,
                on_skip=self.on_skip,
                on_event=self.on_event,
            )
            return work.run(steps)


def wanted(steps: Sequence[Step]) -> list[RunConfig]:
    """What is not trained yet."""
    return [step.planned.config for step in steps if step.done is None]
