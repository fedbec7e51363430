"""Runs that are to be trained one after the other: which are trained already, which go on, and the training itself."""

from __future__ import annotations

import contextlib
import signal
import time
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from cvexp.config.recipe import agree, recipe
from cvexp.errors import CvexpError, Interrupted
from cvexp.jobs import resume, train
from cvexp.training.initial_weights import interpolation_of
from cvexp.training.outputs import EVERYTHING, outputs_of
from cvexp.training.session import complete

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

    from cvexp.config import ModelArg, RunConfig
    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.config.experiment import PlannedRun
    from cvexp.data.last import LastDataset
    from cvexp.events import Observer
    from cvexp.results import TrainResult
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.training.features import LastFeatures
    from cvexp.training.outputs import Outputs

    Known = tuple[RunSummary, Mapping[str, str], str]
    """A run, its settings as they were asked for last, and its recipe if it recorded one."""

AGAIN = "give the same command again to go on"


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One run of a plan: the finished run that has its recipe and seed, or else the one that can be resumed here."""

    planned: PlannedRun
    recipe: str
    done: RunSummary | None
    interrupted: RunSummary | None = None


def steps_of(
    planned: Sequence[PlannedRun],
    settings: StoreSettings,
    *,
    trusted_factories: Sequence[str] = (),
    again: bool = False,
    offline: bool = False,
    preferred: str = "",
) -> tuple[Step, ...]:
    """Find out which runs of a plan are trained already; no run is begun.

    A run counts as trained when a finished run of the experiment has its recipe and its seed; where such a run was
    interrupted, and its checkpoints are here, it is the one to resume. With `again`, nothing counts as trained or
    begun. With `offline`, a store that does not answer leaves the runs that have a folder here. Of several that can be
    resumed the one with the id `preferred` is, then the latest. `trusted_factories` are the `package.module:factory`
    that the plan may name.

    Raises:
        InputError: A model, an argument, a dataset or the store cannot be used.
    """
    completed, defaults = [], {}
    for one in planned:
        model = one.config.model
        trusted = model in trusted_factories
        config, _, defaults[model] = complete(one.config, allow_path=trusted, data_dir=settings.flags.data_dir)
        completed.append(replace(one, config=config))
    recipes = [recipe(one.config.params(), defaults[one.config.model]) for one in completed]
    # A trial of a sweep, which leaves the test split alone, is no run of a plan.
    found = [] if again else _known(settings, recipes, offline=offline)
    known = [run for run in found if outputs_of(run.tags).test]
    asked = _asked(settings) if known else {}
    finished = [(run, run.asked, run.recipe) for run in known if run.status == "FINISHED"]
    begun = [(run, asked[run.run_id], "") for run in known if run.status != "FINISHED" and run.run_id in asked]
    begun.sort(key=lambda one: one[0].run_id != preferred)
    steps = []
    for one, digest in zip(completed, recipes, strict=True):
        config, own = one.config, defaults[one.config.model]
        done = _first(finished, config, own)
        left = _first(begun, config, own) if done is None else None
        begun = [other for other in begun if other[0] is not left]
        steps.append(Step(planned=one, recipe=digest, done=done, interrupted=left))
    return tuple(steps)


def _first(runs: Sequence[Known], config: RunConfig, defaults: Mapping[str, ModelArg]) -> RunSummary | None:
    """The first run of this recipe and seed; without a recorded recipe, it follows from the settings."""
    wanted = config.params()
    digest = recipe(wanted, defaults)
    same = (one for one in runs if one[2] in ("", digest) and agree(one[1], wanted))  # the cheap test first
    return next((run for run, settings, recorded in same if (recorded or recipe(settings, defaults)) == digest), None)


def _known(settings: StoreSettings, recipes: Sequence[str], *, offline: bool) -> list[RunSummary]:
    """The experiment's finished runs that may have one of the recipes, and its runs that have a folder here.

    None where there is no store or no such experiment yet.
    """
    from cvexp.errors import StoreError, UnreachableStoreError
    from cvexp.tracking.local import local_runs
    from cvexp.tracking.queries import search_ids, search_recipes
    from cvexp.tracking.recovery import recover
    from cvexp.tracking.store import open_store

    if settings.sqlite_file is not None and not settings.sqlite_file.exists():
        return []
    recover(settings)  # a run may have finished without the store knowing
    try:
        store = open_store(settings, create=False)
        here = [run.run_id for run in local_runs(settings, experiment=settings.experiment)]
        found = {run.run_id: run for run in (*search_recipes(store, recipes), *search_ids(store, here))}
        return [*found.values(), *local_runs(settings, only_unknown=True, experiment=settings.experiment)]
    except UnreachableStoreError:
        if not offline:
            raise
        return local_runs(settings, experiment=settings.experiment)
    except StoreError as error:
        if error.what.startswith("no experiment is called"):
            return []
        raise


def _asked(settings: StoreSettings) -> dict[str, dict[str, str]]:
    """By id, the settings that each run was given that can be resumed here, and that no process is writing."""
    from cvexp.errors import RunError
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.local import folders, lock_if_free
    from cvexp.training.request import read_request

    asked = {}
    for folder in folders(settings):
        with contextlib.suppress(RunError), lock_if_free(folder) as free:
            if free and (journal := Journal(folder)).status != "FINISHED":
                asked[journal.run_id] = read_request(folder).config.params()
    return asked


@dataclass(kw_only=True, slots=True)
class Trainer:
    """Trains the runs of a plan one after the other, from where they were interrupted if they were.

    Attributes:
        datasets: What the runs are trained on; one that follows another on the same data reads none.
        seeds: Those of the repeats that the runs are; empty where the plan is not one model's.
        policy: As for jobs.train, like `command` and `observer`.
        started: `time.monotonic()` when the command began, for the total time of the first run that is trained.
        outputs: What each run leaves; by default everything, or what it began with.
    """

    settings: StoreSettings
    datasets: LastDataset
    seeds: Sequence[int] = ()
    policy: CheckpointPolicy | None = None
    command: Sequence[str] | None = None
    started: float | None = None
    observer: Observer | None = None
    outputs: Outputs | None = None
    _features: LastFeatures | None = None

    def run(
        self,
        steps: Sequence[Step],
        *,
        on_skip: Callable[[Step], object] | None = None,
        on_end: Callable[[Step, TrainResult], object] | None = None,
    ) -> tuple[TrainResult | RunSummary, ...]:
        """Train what is not trained yet; a RunSummary stands for what was.

        `on_skip` is called with each step that is trained already, `on_end` with each one that has just been.

        Raises:
            CvexpError: As training does, and says how many runs are trained; those stay.
            Interrupted: Likewise.
        """
        results: list[TrainResult | RunSummary] = []
        for n, step in enumerate(steps):
            if step.done is not None:
                results.append(step.done)
                if on_skip is not None:
                    on_skip(step)
                continue
            with self._explained(steps, n):
                result = self._train(step)
            results.append(result)
            if on_end is not None:
                on_end(step, result)
        return tuple(results)

    def _explained(self, steps: Sequence[Step], n: int) -> AbstractContextManager[None]:
        """Have what ends the plan at step `n` say so."""
        n_done = n + sum(step.done is not None for step in steps[n:])
        config = steps[n].planned.config
        of_one_model = bool(self.seeds)
        noun, label = ("seed", "") if of_one_model else ("run", f"{config.model} ")
        state = f"{n_done} of {len(steps)} {noun}s are trained"
        return _explained(state, f"{label}seed {config.seed}", resumable=of_one_model)

    def _train(self, step: Step) -> TrainResult:
        from cvexp.training.features import LastFeatures

        self._features = self._features or LastFeatures()
        config, begun = step.planned.config, step.interrupted
        started, self.started = self.started or time.monotonic(), None
        if begun is None:
            outputs = self.outputs or EVERYTHING
            start = partial(train.run, config, self.settings, name=step.planned.name, outputs=outputs)
        else:  # the model was trusted when the steps were found
            start = partial(resume.run, begun.run_id, self.settings, model=config.model, outputs=self.outputs)
        return start(
            data_dir=self.datasets.data_dir,
            dataset=self.datasets(config, interpolation=interpolation_of(config)),
            features=self._features,
            seeds=self.seeds,
            policy=self.policy,
            command=self.command,
            started=started,
            observer=self.observer,
        )


@contextlib.contextmanager
def _explained(state: str, label: str, *, resumable: bool) -> Iterator[None]:
    """Have what ends the plan within the block, where `label` is trained, say what is trained and how to go on.

    `resumable` is whether to resume that run is to go on with the plan.
    """
    try:
        yield
    except KeyboardInterrupt as stop:
        kept, *how = stop.hints if isinstance(stop, Interrupted) and stop.hints else ("", AGAIN)
        state += f"; {label} is {kept}" if kept else ""
        signum = stop.signum if isinstance(stop, Interrupted) else signal.SIGINT
        raise Interrupted(signum, state, *(how if resumable else [AGAIN])) from stop
    except CvexpError as error:
        if state.startswith("0 "):
            raise
        raise type(error)(f"{label}: {error.what}", *error.hints[:1], f"{state}; then {AGAIN}") from error
