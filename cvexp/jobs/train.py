"""Train one model on one dataset, and leave a run behind that says everything about it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.training.loop import Training
from cvexp.training.observer import Silent
from cvexp.training.request import request_of, write_request
from cvexp.training.session import ONE_AT_A_TIME, known_tags, prepare
from cvexp.training.signals import Stop

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings
    from cvexp.training.observer import TrainObserver


def run(
    config: RunConfig,
    settings: StoreSettings,
    *,
    data_dir: Path,
    name: str | None = None,
    policy: CheckpointPolicy | None = None,
    command: Sequence[str] | None = None,
    started: float | None = None,
    observer: TrainObserver | None = None,
) -> TrainResult:
    """Train as `config` says and track it.

    Everything that can be checked is checked before the run is opened, so bad input leaves no run behind. A process
    trains one model at a time: a call from another thread waits until the one under way has ended.

    Args:
        config: What to train, on what, how long.
        settings: Where to track it.
        data_dir: Where datasets are looked for first, and downloaded to.
        name: The run's name; by default the model's with the first digits of the run's id.
        policy: When to write checkpoints; by default after every epoch.
        command: What was typed, for the record; by default this process's own arguments.
        started: `time.monotonic()` when the command began, for the total time; by default when its turn comes.
        observer: Told how it goes.

    Raises:
        InputError: The model, dataset, device or store cannot be used as asked.
        TrainingError: The loss is no number, or there is no memory left.
        StorageError: The disk is full.
    """
    policy = policy or CheckpointPolicy()
    with Stop() as stop, ONE_AT_A_TIME:
        started = time.monotonic() if started is None else started
        prepared = prepare(config, data_dir)
        from cvexp.tracking.pending import sync_quietly
        from cvexp.tracking.run import open_run

        sync_quietly(settings)
        opening = open_run(
            settings,
            model=config.model.rpartition(":")[2],
            name=name,
            tags=known_tags(prepared, command),
            furnish=lambda folder: write_request(folder, request_of(prepared)),
            hurried=stop.asked,
            keep=policy.keep is not None,
        )
        return Training(
            prepared=prepared,
            opening=opening,
            settings=settings,
            policy=policy,
            stop=stop,
            observer=observer or Silent(),
            started=started,
        ).run()
