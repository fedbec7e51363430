"""Train one configuration with several seeds, each once, and say how far its figures vary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cvexp.config.experiment import PlannedRun, repeated
from cvexp.config.run import run_name
from cvexp.config.seeds import listed
from cvexp.config.stored import config_of
from cvexp.data.last import LastDataset
from cvexp.data.named import class_names_of
from cvexp.executors.seam import Ended
from cvexp.jobs.plan import Step, Trainer, steps_of
from cvexp.jobs.plan_training import PlanTraining
from cvexp.jobs.resume import resumed_config, same_store
from cvexp.jobs.summary import QUALITY, collapsed_seeds, summary
from cvexp.jobs.workers import check_workers, runs_of, wait_for_orphans, waiting
from cvexp.results import Metric, TrainResult
from cvexp.runs import ID_DIGITS, SEEDS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.config.checkpoint import CheckpointPolicy
    from cvexp.events import Observer
    from cvexp.executors.seam import Event
    from cvexp.runs import RunSummary
    from cvexp.settings import StoreSettings
    from cvexp.stats import Interval


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The repeats of one recipe that are asked for, beside what the store already has of them."""

    settings: StoreSettings
    recipe: str
    seeds: tuple[int, ...]
    steps: tuple[Step, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeat:
    """One of the repeats.

    Attributes:
        run: What this process trained now, or else the finished run that was found, or that a worker trained.
        trained_now: Whether it was trained, or trained to its end, now.
        undelivered: Records of it that wait to be delivered to the store, whatever process made them.
        history: By epoch, the figures of a run that this process did not train, by metric key, if they were asked for.
    """

    seed: int
    run: TrainResult | RunSummary
    trained_now: bool
    undelivered: int = 0
    history: Mapping[int, Mapping[str, float]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The run's name."""
        return self.run.run_name if isinstance(self.run, TrainResult) else self.run.name

    @property
    def metrics(self) -> Mapping[str, float]:
        """The last value of every metric."""
        return self.run.metrics() if isinstance(self.run, TrainResult) else self.run.metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class Repeats:
    """The repeats of one recipe, all of them finished.

    Attributes:
        recipe: What they have in common; see config.recipe.
        config: Of the first of them.
        runs: In the order that was asked for.
        summary: For each metric that all of them have, its mean with a 95% t interval over the seeds. The interval is
            withheld for one seed, for a figure that is not finite, and for what was learnt where a seed collapsed.
        collapsed: Seeds that learnt nothing; see stats.collapsed.
        trouble: Why records wait to be delivered, in one line, if any do.
        verdict: On them against the best other recipe, in a sentence, where that is known; see jobs.standing.
    """

    recipe: str
    config: RunConfig
    runs: tuple[Repeat, ...]
    summary: Mapping[str, Interval]
    collapsed: tuple[int, ...]
    trouble: str
    verdict: str = ""

    @property
    def undelivered(self) -> int:
        """Records that wait to be delivered to the store."""
        return sum(one.undelivered for one in self.runs)


def plan(
    config: RunConfig, seeds: object, settings: StoreSettings, *, name: str | None = None, n_workers: int | None = None
) -> Plan:
    """Find out which repeats of `config` are trained already; no run is begun.

    `seeds` is how many, from the configuration's own seed on, or a list; a string is read as typed after `--seeds`. The
    runs are called `name` and their seed.

    Raises:
        InputError: The seeds, the model, the dataset or the store cannot be used, or `n_workers` are too many.
    """
    once = PlannedRun(config=config, name=run_name(name))
    repeats = repeated(once, seeds, where="--seeds")
    check_workers(1 if n_workers is None else n_workers, [one.config for one in repeats])
    wait_for_orphans(settings)
    return _plan(repeats, settings)


def _plan(planned: Sequence[PlannedRun], settings: StoreSettings, *, preferred: str = "") -> Plan:
    factory = planned[0].config.model  # whoever asks for repeats has typed it
    steps = steps_of(planned, settings, trusted_factories=[factory], offline=True, preferred=preferred)
    seeds = tuple(one.config.seed for one in planned)
    return Plan(settings=settings, recipe=steps[0].recipe, seeds=seeds, steps=steps)


def plan_resumed(selector: str, settings: StoreSettings, *, model: str | None = None, **changed: Any) -> Plan | None:
    """The repeats that a run is one of, to go on with all of them; None for a run that is none's.

    `model`, and settings that are `changed`, are as for jobs.resume; a run that goes on with others than its repeats
    is no longer one of them.

    Raises:
        InputError: There is no such run, or it cannot be resumed here.
    """
    from cvexp.jobs.source import find_run
    from cvexp.tracking.recovery import recover

    recover(settings)
    run, settings = find_run(selector, settings)
    config, seeds, settings = _asked_of(run, settings)
    if config is None or config.seed not in seeds:
        return None
    again = settings.command("train", config.model, "--resume", run.run_id[:ID_DIGITS])
    if config != resumed_config(config, model=model, changed=changed, again=again):
        return None
    end = f"-{config.seed}"
    once = PlannedRun(config=config, name=run.name.removesuffix(end) if run.name.endswith(end) else None)
    return _plan(repeated(once, list(seeds), where="seeds"), settings, preferred=run.run_id)


def _asked_of(run: RunSummary, settings: StoreSettings) -> tuple[RunConfig | None, tuple[int, ...], StoreSettings]:
    """The configuration and the seeds that a run was one of, and its store; from its folder if that is still here."""
    from cvexp.tracking.journal import Journal, run_lock
    from cvexp.tracking.local import folder_of
    from cvexp.training.request import read_request

    folder = folder_of(settings, run.run_id)
    if folder is not None:
        with run_lock(folder):  # a run that another process trains is not planned anew
            settings = same_store(Journal(folder), settings)
            request = read_request(folder)
        return request.config, request.seeds, settings
    text = run.tags.get(SEEDS)
    if run.status != "FINISHED" or not text or run.asked != run.params:
        return None, (), settings
    return config_of(run.params), listed(text, where=SEEDS), settings


def run(
    planned: Plan,
    *,
    data_dir: Path,
    policy: CheckpointPolicy | None = None,
    command: Sequence[str] | None = None,
    started: float | None = None,
    observer: Observer | None = None,
    on_skip: Callable[[Step], object] | None = None,
    on_end: Callable[[Step, TrainResult], object] | None = None,
    n_workers: int | None = None,
    on_event: Callable[[Step, Event], object] | None = None,
    histories: bool = False,
) -> Repeats:
    """Train the repeats that are not trained yet, one after the other, on data that is read once.

    `policy`, `command`, `started` and `observer` are as for jobs.train, `on_skip` and `on_end` as for Trainer.run. With
    several `n_workers` so many are trained at once, each by a process of its own, and `on_event` is called with what
    they do. With `histories` those of runs that this process did not train are read from the store.

    Raises:
        InputError: As for jobs.train, and where another process trains the same repeats; those that are trained stay.
        CvexpError: As for jobs.train; likewise.
    """
    trainer = Trainer(
        settings=planned.settings,
        datasets=LastDataset(data_dir),
        seeds=planned.seeds,
        policy=policy,
        command=command,
        started=started,
        observer=observer,
    )
    ended = PlanTraining(
        trainer=trainer,
        work=f"repeats {planned.recipe} {planned.seeds}",
        called=f"{planned.steps[0].planned.config.model} with these seeds",
        n_workers=n_workers,
        on_skip=on_skip,
        on_end=on_end,
        on_event=on_event,
    ).run(planned.steps)
    known = runs_of([one.run_id for one in ended if isinstance(one, Ended)], planned.settings)
    unsent = waiting([one.run_id for one in ended], planned.settings)
    runs = []
    for step, seed, end in zip(planned.steps, planned.seeds, ended, strict=True):
        one = known[end.run_id] if isinstance(end, Ended) else end
        history = _history(one, planned.settings) if histories and not isinstance(one, TrainResult) else {}
        n_waiting, now = unsent.get(one.run_id, 0), step.done is None
        runs.append(Repeat(seed=seed, run=one, trained_now=now, undelivered=n_waiting, history=history))
    config = planned.steps[0].planned.config
    figures, n_classes = [one.metrics for one in runs], len(class_names_of(config.dataset, data_dir))
    fallen = collapsed_seeds(planned.seeds, figures, n_classes)
    undelivered = {one.run.run_id for one in runs if one.undelivered}
    troubles = [one.trouble for one in ended if isinstance(one, TrainResult | Ended) and one.run_id in undelivered]
    return Repeats(
        recipe=planned.recipe,
        config=config,
        runs=tuple(runs),
        summary=summary(figures, withheld=QUALITY if fallen else ()),
        collapsed=fallen,
        trouble=next(filter(None, troubles), "the store has not answered yet"),
    )


def _history(run: RunSummary, settings: StoreSettings) -> dict[int, dict[str, float]]:
    """By epoch, the figures of a stored run as `EpochMetrics.keyed` has them."""
    from cvexp.tracking.histories import history

    found = history(settings, run)
    hidden = ("step/", "test/") if Metric.VAL_LOSS in found else ("step/",)  # test figures are then the whole run's
    epochs: dict[int, dict[str, float]] = {}
    for key, points in found.items():
        for point in points:
            if point.step > 0 and not key.startswith(hidden):
                epochs.setdefault(point.step, {})[key] = point.value
    return dict(sorted(epochs.items()))
