"""Train every configuration of an experiment file that is not trained yet, then compare."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cvexp.config.experiment import read_experiment
from cvexp.config.recipe import agree, recipe
from cvexp.data.registry import find_spec
from cvexp.jobs import compare, resume, train
from cvexp.plots.files import check_path, path_below
from cvexp.settings import store_settings
from cvexp.training.session import complete

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cvexp.config import ModelArg, RunConfig
    from cvexp.config.experiment import PlannedRun
    from cvexp.events import Observer
    from cvexp.jobs.compare import Comparison
    from cvexp.results import TrainResult
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings

    Known = tuple[RunSummary, Mapping[str, str], str]
    """A run, its settings in effect, and its recipe if it recorded one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One configuration of the file: the finished run that has it, or else the one that can be resumed here."""

    planned: PlannedRun
    done: RunSummary | None
    interrupted: RunSummary | None = None


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
    """An experiment file, read and checked, beside what the store already has of it."""

    path: Path
    settings: StoreSettings
    steps: tuple[Step, ...]
    plot: str | None


def plan(
    path: Path,
    *,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    data_dir: Path | None = None,
    again: bool = False,
    trusted_factories: Sequence[str] = (),
) -> Plan:
    """Read the experiment file `path` and find out which of its configurations are trained already; no run is begun.

    A configuration counts as trained when a finished run has its recipe and its seed; where such a run was interrupted,
    and its checkpoints are here, it is the one to resume. With `again`, nothing counts as trained or begun. Without
    `experiment`, the file's own is used; `data_dir` appears in the commands that are printed; `trusted_factories` are
    the `package.module:factory` that the file may name, since a file alone makes nothing run.

    Raises:
        InputError: The file, a model, an argument or a dataset in it, or the store cannot be used.
    """
    read = read_experiment(path)
    settings = store_settings(tracking_uri, experiment or read.experiment, data_dir)
    completed, defaults = [], {}
    for planned in read.runs:
        model = planned.config.model
        config, _, defaults[model] = complete(planned.config, allow_path=model in trusted_factories)
        completed.append(replace(planned, config=config))
    known = [] if again else _known(settings)
    finished = [(run, run.settings, run.recipe) for run in known if run.status == "FINISHED"]
    begun = _resumable([run for run in known if run.status != "FINISHED"], settings)
    steps = []
    for planned in completed:
        config, own = planned.config, defaults[planned.config.model]
        done = _first(finished, config, own)
        left = _first(begun, config, own) if done is None else None
        begun = [one for one in begun if one[0] is not left]
        steps.append(Step(planned=planned, done=done, interrupted=left))
    return Plan(path=path, settings=settings, steps=tuple(steps), plot=read.plot)


def _first(runs: Sequence[Known], config: RunConfig, defaults: Mapping[str, ModelArg]) -> RunSummary | None:
    """The first run of this recipe and seed; without a recorded recipe, it follows from the settings."""
    wanted = config.params()
    digest = recipe(wanted, defaults)
    same = (one for one in runs if agree(one[1], wanted))
    return next((run for run, settings, recorded in same if (recorded or recipe(settings, defaults)) == digest), None)


def _known(settings: StoreSettings) -> list[RunSummary]:
    """The experiment's runs; none where there is no store or no such experiment yet."""
    from cvexp.errors import StoreError
    from cvexp.tracking.queries import search
    from cvexp.tracking.recovery import recover
    from cvexp.tracking.store import open_store

    if settings.sqlite_file is not None and not settings.sqlite_file.exists():
        return []
    recover(settings)  # a run may have finished without the store knowing
    try:
        store = open_store(settings, create=False)
    except StoreError as error:
        if error.what.startswith("no experiment is called"):
            return []
        raise
    return search(store)


def _resumable(runs: Sequence[RunSummary], settings: StoreSettings) -> list[Known]:
    """The runs that can be resumed here, and that no process is writing, with the settings each was given."""
    from cvexp.errors import RunError
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.local import folders, lock_if_free
    from cvexp.training.request import read_request

    asked = {}
    for folder in folders(settings):
        with contextlib.suppress(RunError), lock_if_free(folder) as free:
            if free and (journal := Journal(folder)).status != "FINISHED":
                asked[journal.run_id] = read_request(folder).config.params()
    return [(run, asked[run.run_id], "") for run in runs if run.run_id in asked]


def _check(steps: Sequence[Step], data_dir: Path) -> None:
    """Refuse a device or a dataset that cannot be had before anything is trained; datasets are fetched."""
    wanted = [step.planned.config for step in steps if step.done is None]
    if not wanted:
        return
    from cvexp.data.dataset import load
    from cvexp.device import choose

    for device in dict.fromkeys(config.device for config in wanted):
        choose(device)
    _, *later = dict.fromkeys(config.dataset for config in wanted)  # training begins by reading the first one
    for dataset in later:
        load(find_spec(dataset), data_dir)


def run(
    planned: Plan,
    *,
    data_dir: Path,
    plot: Path | None = None,
    command: Sequence[str] | None = None,
    observer: Observer | None = None,
    on_skip: Callable[[Step], None] | None = None,
) -> ExperimentResult:
    """Train what is not trained yet, one configuration after the other, then compare them all.

    A configuration whose training was interrupted is resumed, in the same run. The comparison is drawn to `plot`, or
    where the file says, below its own folder. `observer` is called with each event of each training, and `on_skip`
    with each configuration that is trained already.

    Raises:
        InputError: As for training; runs that ended before stay.
    """
    drawn = plot or (path_below(planned.path.parent, planned.plot) if planned.plot else None)
    if drawn is not None:
        drawn = check_path(drawn)
    _check(planned.steps, data_dir)
    run_ids = []
    for step in planned.steps:
        if step.done is None:
            result = _train(step, planned.settings, data_dir=data_dir, command=command, observer=observer)
            run_ids.append(result.run_id)
        else:
            run_ids.append(step.done.run_id)
            if on_skip is not None:
                on_skip(step)
    return ExperimentResult(
        steps=planned.steps,
        run_ids=tuple(run_ids),
        trained=sum(step.done is None for step in planned.steps),
        comparison=compare.run(run_ids, planned.settings, plot=drawn, tag=True),
    )


def _train(
    step: Step, settings: StoreSettings, *, data_dir: Path, command: Sequence[str] | None, observer: Observer | None
) -> TrainResult:
    """Train a configuration, from where its interrupted run stopped if there is one."""
    config, begun = step.planned.config, step.interrupted
    if begun is None:
        start = partial(train.run, config, settings, name=step.planned.name)
    else:  # the model was trusted when the file was planned
        start = partial(resume.run, begun.run_id, settings, model=config.model)
    return start(data_dir=data_dir, command=command, observer=observer)
