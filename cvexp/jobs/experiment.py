"""Train every configuration of an experiment file that is not trained yet, then compare."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cvexp.config.experiment import read_experiment
from cvexp.data.last import LastDataset
from cvexp.jobs import compare
from cvexp.jobs.plan import Step, Trainer, steps_of
from cvexp.jobs.plan_training import PlanTraining, wanted
from cvexp.jobs.workers import check_delivered, check_workers, wait_for_orphans
from cvexp.plots.files import check_path, path_below
from cvexp.results import TrainResult
from cvexp.settings import store_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cvexp.events import Observer
    from cvexp.executors.seam import Event
    from cvexp.jobs.compare import Comparison
    from cvexp.jobs.workers import Place
    from cvexp.settings import StoreSettings
    from cvexp.training.outputs import Outputs


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentResult:
    """The runs of an experiment file.

    Attributes:
        steps: Its configurations in order.
        run_ids: Of their runs, in the same order.
        trained: How many of them were trained now, or trained to their end.
    """

    steps: tuple[Step, ...]
    run_ids: tuple[str, ...]
    trained: int
    comparison: Comparison


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """An experiment file, read and checked, beside what the store already has of it.

    Attributes:
        again: Whether nothing counts as trained or begun.
    """

    path: Path
    settings: StoreSettings
    steps: tuple[Step, ...]
    plot: str | None
    again: bool = False

    @property
    def plot_path(self) -> Path | None:
        """Where the file says that is drawn, below its own folder; InputError for another place."""
        return path_below(self.path.parent, self.plot) if self.plot else None


def plan(
    path: Path,
    *,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    data_dir: Path | None = None,
    again: bool = False,
    trusted_factories: Sequence[str] = (),
    offline: bool = False,
    n_workers: int | None = None,
) -> Plan:
    """Read the experiment file `path` and find out which of its configurations are trained already; no run is begun.

    A configuration counts as trained when a finished run has its recipe and its seed; where such a run was interrupted,
    and its checkpoints are here, it is the one to resume. With `again`, nothing counts as trained or begun. Without
    `experiment`, the file's own is used; `data_dir` appears in the commands that are printed; `trusted_factories` are
    the `package.module:factory` that the file may name, since a file alone makes nothing run. With `offline`, a store
    that does not answer leaves the runs that have a folder here.

    Raises:
        InputError: The file, a model, an argument or a dataset in it, or the store cannot be used; or `n_workers` are
            too many.
    """
    read = read_experiment(path)
    settings = store_settings(tracking_uri, experiment or read.experiment, data_dir)
    wait_for_orphans(settings)
    steps = steps_of(read.runs, settings, trusted_factories=trusted_factories, again=again, offline=offline)
    check_workers(1 if n_workers is None else n_workers, wanted(steps))
    return Plan(path=path, settings=settings, steps=steps, plot=read.plot, again=again)


def run(
    planned: Plan,
    *,
    data_dir: Path,
    plot: Path | None = None,
    command: Sequence[str] | None = None,
    observer: Observer | None = None,
    on_skip: Callable[[Step], object] | None = None,
    on_end: Callable[[Step, TrainResult], object] | None = None,
    n_workers: int | None = None,
    where: Place | None = None,
    outputs: Outputs | None = None,
    on_event: Callable[[Step, Event], object] | None = None,
) -> ExperimentResult:
    """Train what is not trained yet, one configuration after the other, then compare them all.

    A configuration whose training was interrupted is resumed, in the same run. The comparison is drawn to `plot`, or
    where the file says, below its own folder. `observer` is called with each event of each training, `on_skip`
    with each configuration that is trained already, and `on_end` with each one that has just been. With several
    `n_workers`, or `where` that is on a cluster, so many are trained at once, each by a process of its own; `on_event`
    is called with what they do.
    `outputs` is what each run leaves; by default everything, or what it began with.

    Raises:
        InputError: As for training, and where another process trains the file; runs that ended before stay.
        DeliveryError: Everything is trained, and records wait for the store.
    """
    drawn = plot or planned.plot_path
    if drawn is not None:
        drawn = check_path(drawn)
    ended = PlanTraining(
        trainer=Trainer(
            settings=planned.settings,
            datasets=LastDataset(data_dir),
            command=command,
            observer=observer,
            outputs=outputs,
        ),
        work=f"plan {planned.path.absolute()}",
        called=str(planned.path),
        n_workers=n_workers,
        where=where,
        again=planned.again,
        on_skip=on_skip,
        on_end=on_end,
        on_event=on_event,
    ).run(planned.steps)
    run_ids = tuple(one.run_id for one in ended)
    by_workers = (
        step.done is None and not isinstance(one, TrainResult) for step, one in zip(planned.steps, ended, strict=True)
    )
    if any(by_workers):
        check_delivered(run_ids, planned.settings)
    return ExperimentResult(
        steps=planned.steps,
        run_ids=run_ids,
        trained=sum(step.done is None for step in planned.steps),
        comparison=compare.run(run_ids, planned.settings, plot=drawn),
    )
