"""Train one model on one dataset, and leave a run behind that says everything about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.jobs import resume
from cvexp.jobs.devices import run_to_restart
from cvexp.training.loop import Training
from cvexp.training.outputs import EVERYTHING
from cvexp.training.request import request_of, write_request
from cvexp.training.session import ONE_AT_A_TIME, complete, prepare
from cvexp.training.shared import check_shared
from cvexp.training.signals import entered
from cvexp.training.tags import known_tags
from cvexp.training.together import together

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.config.sources import Settings, Sourced
    from cvexp.data.dataset import Dataset
    from cvexp.events import Observer
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings
    from cvexp.training.features import LastFeatures
    from cvexp.training.outputs import Outputs
    from cvexp.training.signals import StopSignals


def explain(settings: Settings) -> dict[str, Sourced]:
    """Every setting in effect, defaults of the model's own arguments among them, and its source; nothing is trained.

    Raises:
        InputError: A setting cannot be used; the model or the dataset is unknown.
    """
    config, _, _ = complete(settings.config(), allow_path=True)
    return settings.explained(config)


def run(
    config: RunConfig,
    settings: StoreSettings,
    *,
    data_dir: Path,
    name: str | None = None,
    dataset: Dataset | None = None,
    features: LastFeatures | None = None,
    seeds: Sequence[int] = (),
    policy: CheckpointPolicy | None = None,
    command: Sequence[str] | None = None,
    started: float | None = None,
    observer: Observer | None = None,
    outputs: Outputs = EVERYTHING,
    tags: Mapping[str, str] | None = None,
    end_tags: Callable[[], Mapping[str, str]] = dict,
    stop_signals: StopSignals | None = None,
    n_slots: int = 1,
    recovering: bool = True,
) -> TrainResult:
    """Train as `config` says and track it.

    Everything that can be checked is checked before the run is opened, so bad input leaves no run behind. A process
    trains one model at a time: a call from another thread waits until the one under way has ended. In a process that
    torchrun has restarted, the run that it began before goes on.

    Args:
        config: What to train, on what, how long.
        settings: Where to track it.
        data_dir: Where datasets are looked for first, and downloaded to.
        name: The run's name; by default the model's with the first digits of the run's id.
        dataset: The one that `config` names, where the caller has loaded it.
        features: Those of an earlier run, which are taken over where this one's are the same.
        seeds: Those of the repeats that this run is one of; see jobs.repeats.
        policy: When checkpoints are written, and how many stay; by default after every epoch.
        command: What was typed, for a tag; by default this process's own arguments.
        started: `time.monotonic()` when the command began, for the total time; by default when its turn comes.
        observer: See `events.Observer`; its answer may stop the training early.
        outputs: What the run leaves besides its weights, figures and records; by default everything.
        tags: What it is tagged with besides its own tags.
        end_tags: Gives the tags that are known when it has ended.
        stop_signals: What asks for a stop, and is entered already; by default this process's signals.
        n_slots: How many runs may train on this machine at once, which is part of the comparability key.
        recovering: Whether to deliver first what ended processes left; a caller that trains many does so once.

    Raises:
        InputError: The model, dataset, device or store cannot be used as asked.
        TrainingError: The loss is not finite, or there is no memory left.
        StorageError: The disk is full.
        Interrupted: A signal asked for it; a checkpoint was written.
    """
    policy = policy or CheckpointPolicy()
    if (begun := run_to_restart(settings)) is not None:
        return resume.run(
            begun,
            settings,
            data_dir=data_dir,
            model=config.model,
            policy=policy,
            started=started,
            observer=observer,
            stop_signals=stop_signals,
        )
    with entered(stop_signals) as signals, ONE_AT_A_TIME, together(config) as ranks:
        started = time.monotonic() if started is None else started
        outputs.check(config)
        check_shared(policy)
        prepared = prepare(config, data_dir, dataset=dataset, features=features, n_slots=n_slots, ranks=ranks)
        from cvexp.tracking.outbox import open_run

        if recovering:
            from cvexp.tracking.recovery import recover

            recover(settings)
        opening = open_run(
            settings,
            model=config.model.rpartition(":")[2],
            name=name,
            tags=known_tags(prepared, command, seeds=seeds) | outputs.tags() | dict(tags or {}),
            prepare_folder=lambda folder: write_request(folder, request_of(prepared, seeds=seeds)),
            should_stop=signals.should_stop,
            keep=policy.keep is not None,
            linger=outputs.linger,
        )
        return Training(
            prepared=prepared,
            opening=opening,
            settings=settings,
            policy=policy,
            signals=signals,
            observer=observer,
            started=started,
            outputs=outputs,
            end_tags=end_tags,
        ).run()
