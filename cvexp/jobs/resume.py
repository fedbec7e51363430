"""Resume a run that was interrupted."""

from __future__ import annotations

import contextlib
import shlex
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.model import names_code
from cvexp.config.schedule import ENDING
from cvexp.errors import ConfigError, RunError
from cvexp.runs import ID_DIGITS
from cvexp.training.checkpoints import Checkpoints
from cvexp.training.figures import no_better, time_is_up
from cvexp.training.loop import Training
from cvexp.training.outputs import outputs_of
from cvexp.training.request import read_request, write_request
from cvexp.training.session import ONE_AT_A_TIME, prepare_resumed
from cvexp.training.shared import check_shared
from cvexp.training.signals import entered
from cvexp.training.tags import config_tags, known_tags
from cvexp.training.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.data.dataset import Dataset
    from cvexp.events import Observer
    from cvexp.results import EpochMetrics, TrainResult
    from cvexp.settings import StoreSettings
    from cvexp.tracking.journal import Journal
    from cvexp.tracking.outbox import Outbox
    from cvexp.training.features import LastFeatures
    from cvexp.training.outputs import Outputs
    from cvexp.training.request import Request
    from cvexp.training.signals import StopSignals


def run(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    model: str | None = None,
    epochs: int | None = None,
    max_time: float | None = None,
    allow_nan: bool | None = None,
    dataset: Dataset | None = None,
    features: LastFeatures | None = None,
    seeds: Sequence[int] = (),
    policy: CheckpointPolicy | None = None,
    command: Sequence[str] | None = None,
    started: float | None = None,
    observer: Observer | None = None,
    outputs: Outputs | None = None,
    tags: Mapping[str, str] | None = None,
    end_tags: Callable[[], Mapping[str, str]] = dict,
    stop_signals: StopSignals | None = None,
) -> TrainResult:
    """Resume a run that was interrupted, under its id, with the result bit for bit of an uninterrupted one.

    A run that left no folder here is continued in a new run, if its checkpoints are shared; see jobs.continue_run.
    `model` is needed only for a run of `package.module:factory`, since code is not taken from a run's records.
    `epochs`, `max_time` and `allow_nan` are by default what the run asked for; with more epochs, or more time where
    it had passed, a finished run is trained on. `outputs` are by default those that it began with. The other
    arguments, and what else is raised, are as for jobs.train.

    Raises:
        InputError: The run cannot be resumed here, or needs no resuming.
    """
    from cvexp.jobs.source import find_run
    from cvexp.tracking.journal import Journal, run_lock
    from cvexp.tracking.local import folder_of
    from cvexp.tracking.outbox import reopen_run
    from cvexp.tracking.recovery import recover

    policy = policy or CheckpointPolicy()
    with entered(stop_signals) as signals, ONE_AT_A_TIME, contextlib.ExitStack() as stack:
        started = time.monotonic() if started is None else started
        recover(settings)
        found, settings = find_run(selector, settings)
        changed = {"epochs": epochs, "max_time": max_time, "allow_nan": allow_nan}
        folder = folder_of(settings, found.run_id)
        if folder is None:
            from cvexp.jobs import continue_run

            return continue_run.run(
                found,
                settings,
                data_dir=data_dir,
                model=model,
                changed=changed,
                dataset=dataset,
                features=features,
                seeds=seeds,
                policy=policy,
                command=command,
                started=started,
                observer=observer,
                outputs=outputs,
                tags=tags,
                end_tags=end_tags,
                signals=signals,
            )
        check_shared(policy)
        with run_lock(folder):  # before anything in the folder is read: another process may have resumed the run
            journal = Journal(folder)
            settings = same_store(journal, settings)
            request = read_request(folder)
            again = settings.command("train", request.config.model, "--resume", journal.run_id[:ID_DIGITS])
            config = resumed_config(request.config, model=model, changed=changed, again=again)
            checkpoint = Checkpoints(folder, policy.keep).newest()
            name = journal.name or journal.run_id
            if journal.status == "FINISHED":
                check_unfinished(name, config, () if checkpoint is None else checkpoint.history)
            asked = replace(config, threads=request.threads)
            ranks = stack.enter_context(
                together(asked, evaluation_threads=request.evaluation_threads, resumed=checkpoint is not None)
            )
            prepared = prepare_resumed(
                request,
                config,
                data_dir,
                checkpoint=checkpoint,
                name=name,
                dataset=dataset,
                features=features,
                ranks=ranks,
            )
            outputs = outputs or outputs_of(journal.tags)
            outputs.check(config)
            more = outputs.tags(journal.tags) | dict(tags or {})
            opening = reopen_run(
                settings,
                folder,
                tags=known_tags(prepared, command, seeds=seeds) | config_tags(prepared) | more,
                should_stop=signals.should_stop,
                keep=policy.keep is not None,
            )
            return Training(
                prepared=prepared,
                opening=_opened(opening, replace(request, config=config, seeds=tuple(seeds))),
                settings=settings,
                policy=policy,
                signals=signals,
                observer=observer,
                started=started,
                resumed=checkpoint,
                outputs=outputs,
                end_tags=end_tags,
            ).run()


@contextlib.contextmanager
def _opened(opening: AbstractContextManager[Outbox], request: Request) -> Iterator[Outbox]:
    """The run, once what is now asked of it is written: an extension that is interrupted is resumed as one."""
    with opening as run:
        write_request(run.folder, request)
        yield run


def same_store(journal: Journal, settings: StoreSettings) -> StoreSettings:
    """The settings with the run's own experiment; RunError for a run of another store."""
    from cvexp.tracking.local import belongs, uri_of

    if journal.address and not belongs(journal, settings):
        uri = uri_of(journal.address, state_dir=settings.state_dir)
        raise RunError(
            f"run {journal.name or journal.run_id} is tracked in {uri}, and not in the store in use",
            f"go on there: cvexp train --resume {journal.run_id[:ID_DIGITS]} --tracking-uri {shlex.quote(uri)}",
        )
    return replace(settings, experiment=journal.experiment or settings.experiment)


def check_unfinished(name: str, config: RunConfig, history: Sequence[EpochMetrics]) -> None:
    """Refuse a finished run that was trained as long as is asked for; without a checkpoint there is no history."""
    if config.max_time is not None and time_is_up(history, config):
        raise RunError(
            f"run {name} has finished: --max-time {config.max_time:g} had passed after {len(history)} epochs",
            "to train on, give a larger --max-time",
        )
    if history and no_better(history, config):
        raise RunError(
            f"run {name} has finished: --early-stop {config.early_stop} ended it after {len(history)} epochs",
            "to train longer, start a new run with a larger --early-stop",
        )
    if not history or config.epochs <= len(history):
        raise RunError(f"run {name} has finished its {config.epochs} epochs", "to train on, give a larger --epochs")


def resumed_config(config: RunConfig, *, model: str | None, changed: Mapping[str, Any], again: str) -> RunConfig:
    """The run's configuration with what is not None in `changed`; `again` is the command that names its model.

    Raises:
        ConfigError: What is asked does not go with what the run was asked.
    """
    if model is not None and model != config.model:
        raise ConfigError(f"the run trained {config.model}, not {model}", "leave MODEL out")
    if names_code(config.model) and model is None:
        raise ConfigError(f"the run's model is code of its own: {config.model}", f"if you trust it, name it: {again}")
    for name, flag in (("epochs", "--epochs"), ("max_time", "--max-time")):
        given, before = changed.get(name), getattr(config, name)
        if given is not None and before is not None and given < before:
            raise ConfigError(f"{flag} {given:g}: the run asked for {before:g}", "give more, or leave it out")
    if config.schedule in ENDING and (changed.get("epochs") or config.epochs) > config.epochs:
        raise ConfigError(
            f"--epochs {changed['epochs']}: the schedule {config.schedule} was planned for {config.epochs} epochs",
            "start a new run",
        )
    return replace(config, **{name: value for name, value in changed.items() if value is not None})
