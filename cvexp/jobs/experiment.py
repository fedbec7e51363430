"""Train every configuration of an experiment file that is not trained yet, then compare."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvexp.config.experiment import read_experiment
from cvexp.config.recipe import agree, recipe
from cvexp.data.registry import find_spec
from cvexp.jobs import compare, resume, train
from cvexp.models.registry import complete_arguments, find_entry
from cvexp.plots.files import check_path, path_below
from cvexp.settings import store_settings

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
    """One configuration of the file, and what the store has of it.

    Attributes:
        planned: The configuration.
        done: The finished run that answers it, if there is one.
        interrupted: Else the run that began it and can be resumed here, if there is one.
    """

    planned: PlannedRun
    done: RunSummary | None
    interrupted: RunSummary | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ExperimentResult:
    """What an experiment file came to.

    Attributes:
        steps: Its configurations in order.
        run_ids: Of the runs that answer them, in the same order.
        trained: How many of them were trained now, or trained to their end.
        comparison: Of those runs.
        plot: Where the comparison was drawn, if anywhere.
    """

    steps: tuple[Step, ...]
    run_ids: tuple[str, ...]
    trained: int
    comparison: Comparison
    plot: Path | None


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
    """Read an experiment file and find out which of its configurations are trained already.

    No run is begun. A configuration counts as trained when a finished run has its recipe and its seed; where such a
    run was interrupted, and its checkpoints are here, it is the one to resume.

    Args:
        path: The file.
        tracking_uri: As for every verb.
        experiment: As for every verb; without it, the file's own.
        data_dir: As it was typed, for the commands that are printed.
        again: Whether to count nothing as trained or begun.
        trusted_factories: Each `package.module:factory` that the file may name; a file alone makes nothing run.

    Raises:
        InputError: The file, a model, an argument or a dataset in it, or the store cannot be used.
    """
    read = read_experiment(path)
    settings = store_settings(tracking_uri, experiment or read.experiment, data_dir)
    completed, defaults = [], {}
    for planned in read.runs:
        find_spec(planned.config.dataset)
        model = planned.config.model
        factory = find_entry(model, allow_path=model in trusted_factories).load()
        defaults[model] = complete_arguments(model, factory, {})
        model_args = complete_arguments(model, factory, planned.config.model_args)
        completed.append(replace(planned, config=replace(planned.config, model_args=model_args)))
    known = [] if again else _known(settings)
    finished = [(run, run.settings, run.recipe) for run in known if run.status == "FINISHED"]
    begun = _resumable([run for run in known if run.status != "FINISHED"], settings)
    steps = []
    for planned in completed:
        done = _first(finished, planned.config, defaults[planned.config.model])
        left = _first(begun, planned.config, defaults[planned.config.model]) if done is None else None
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

    left = {}
    for folder in folders(settings):
        with contextlib.suppress(RunError), lock_if_free(folder) as free:
            if free and (journal := Journal(folder)).status != "FINISHED":
                left[journal.run_id] = folder
    found: list[Known] = []
    for run in runs:
        with contextlib.suppress(RunError):
            if run.run_id in left:
                found.append((run, read_request(left[run.run_id]).config.params(), ""))
    return found


def _check_devices(steps: Sequence[Step]) -> None:
    """Refuse a device that is not here before anything is trained."""
    wanted = dict.fromkeys(step.planned.config.device for step in steps if step.done is None)
    if not wanted:
        return
    from cvexp.device import choose

    for name in wanted:
        choose(name)


def _check_datasets(steps: Sequence[Step], data_dir: Path) -> None:
    """Find, or fetch, and verify the datasets of later configurations before the first one is trained.

    Raises:
        DatasetError: One cannot be had.
    """
    wanted = list(dict.fromkeys(step.planned.config.dataset for step in steps if step.done is None))
    for name in wanted[1:]:  # training reads the first one before it does anything else
        from cvexp.data.dataset import load

        load(find_spec(name), data_dir)


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

    A configuration whose training was interrupted is trained on where it stopped, in the same run.

    Args:
        planned: From `plan`.
        data_dir: Where datasets are looked for first.
        plot: Where to draw the comparison; without it, where the file says, below its own folder.
        command: What was typed, for the record.
        observer: Called with each event of each training.
        on_skip: Told of each configuration that is trained already.

    Raises:
        InputError: As for training; runs that ended before stay.
    """
    drawn = plot or (path_below(planned.path.parent, planned.plot) if planned.plot else None)
    if drawn is not None:
        drawn = check_path(drawn)
    _check_devices(planned.steps)
    _check_datasets(planned.steps, data_dir)
    run_ids = []
    trained = 0
    for step in planned.steps:
        if step.done is not None:
            run_ids.append(step.done.run_id)
            if on_skip is not None:
                on_skip(step)
            continue
        result = _train(step, planned.settings, data_dir=data_dir, command=command, observer=observer)
        run_ids.append(result.run_id)
        trained += 1
    comparison = compare.run(run_ids, planned.settings, plot=drawn)
    return ExperimentResult(
        steps=planned.steps, run_ids=tuple(run_ids), trained=trained, comparison=comparison, plot=drawn
    )


def _train(
    step: Step, settings: StoreSettings, *, data_dir: Path, command: Sequence[str] | None, observer: Observer | None
) -> TrainResult:
    """Train a configuration, from where its interrupted run stopped if there is one."""
    if step.interrupted is None:
        return train.run(
            step.planned.config, settings, data_dir=data_dir, name=step.planned.name, command=command, observer=observer
        )
    return resume.run(
        step.interrupted.run_id,
        settings,
        data_dir=data_dir,
        model=step.planned.config.model,  # trusted when the file was planned
        command=command,
        observer=observer,
    )
