"""Train one model on one dataset, and leave a run behind that says everything about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.jobs import resume
from cvexp.jobs.devices import run_to_restart
from cvexp.training.loop import Training
from cvexp.training.request import request_of, write_request
from cvexp.training.session import ONE_AT_A_TIME, complete, known_tags, prepare
from cvexp.training.signals import StopSignals
from cvexp.training.together import together

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.config.sources import Settings, Sourced
    from cvexp.data.dataset import Dataset
    from cvexp.events import Observer
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings
    from cvexp.training.features import LastFeatures


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

    Raises:
        InputError: The model, dataset, device or store cannot be used as asked.
        TrainingError: The loss is not finite, or there is no memory left.
        StorageError: The disk is full.
        Interrupted: A signal asked for it; a checkpoint was written.
    """
    policy = policy or CheckpointPolicy()
    if (begun := run_to_restart(settings)) is not None:
        return resume.run(
            begun, settings, data_dir=data_dir, model=config.model, policy=policy, started=started, observer=observer
        )
    with StopSignals() as signals, ONE_AT_A_TIME, together(config) as ranks:
        started = time.monotonic() if started is None else started
        prepared = prepare(config, data_dir, dataset=dataset, features=features, ranks=ranks)
        from cvexp.tracking.outbox import open_run
        from cvexp.tracking.recovery import recover

        recover(settings)
        opening = open_run(
            settings,
            model=config.model.rpartition(":")[2],
            name=name,
            tags=known_tags(prepared, command, seeds=seeds),
            prepare_folder=lambda folder: write_request(folder, request_of(prepared, seeds=seeds)),
            should_stop=signals.should_stop,
            keep=policy.keep is not None,
        )
        return Training(
            prepared=prepared,
            opening=opening,
            settings=settings,
            policy=policy,
            signals=signals,
            observer=observer,
            started=started,
        ).run()
