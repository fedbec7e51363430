"""Train one model on one dataset, and leave a run behind that says everything about it."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from cvexp.data.registry import find_spec
from cvexp.jobs.checkpoints import Keeping
from cvexp.jobs.observer import Silent
from cvexp.jobs.request import request_of, write_request
from cvexp.jobs.signals import Stop
from cvexp.jobs.training import ONE_AT_A_TIME, Prepared, Training, memory_explained
from cvexp.models.registry import complete_arguments, find_entry
from cvexp.results import TEST_SET, Conditions, test_set, train_split

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.jobs.observer import TrainObserver
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings


def run(
    config: RunConfig,
    settings: StoreSettings,
    *,
    data_dir: Path,
    name: str | None = None,
    keeping: Keeping | None = None,
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
        keeping: When to write checkpoints; by default after every epoch.
        command: What was typed, for the record; by default this process's own arguments.
        started: `time.monotonic()` when the command began, for the total time; by default when its turn comes.
        observer: Told how it goes.

    Raises:
        InputError: The model, dataset, device or store cannot be used as asked.
        TrainingError: The loss is no number, or there is no memory left.
        StorageError: The disk is full.
    """
    keeping = keeping or Keeping()
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
            keep=keeping.keep is not None,
        )
        return Training(
            prepared=prepared,
            opening=opening,
            settings=settings,
            keeping=keeping,
            stop=stop,
            observer=observer or Silent(),
            started=started,
        ).run()


def prepare(config: RunConfig, data_dir: Path) -> Prepared:
    """Find the data, build the model, choose how steps are run; nothing is written.

    Raises:
        InputError: The model, dataset or device cannot be used as asked.
        TrainingError: There is no memory for a step.
    """
    spec = find_spec(config.dataset)
    entry = find_entry(config.model, allow_path=True)
    # torch takes seconds to import, and a mistyped name should not have to wait for it.
    from cvexp.data.dataset import load
    from cvexp.device import choose, seed_everything, threads
    from cvexp.engine.placement import laid_out, place
    from cvexp.engine.runners import choose_runner
    from cvexp.models.registry import build
    from cvexp.models.summary import check_output

    config = replace(config, model_args=complete_arguments(config.model, entry.load(), config.model_args))
    device = choose(config.device)
    dataset = load(spec, data_dir, val_split=config.val_split, split_seed=config.split_seed, limit=config.limit)
    seed_everything(config.seed)
    model = build(
        entry,
        image_shape=dataset.image_shape,
        n_classes=dataset.n_classes,
        hidden_units=config.hidden_units,
        model_args=config.model_args,
    )
    check_output(model, name=config.model, image_shape=dataset.image_shape, n_classes=dataset.n_classes)
    placed = place(model, dataset.image_shape, batch_size=config.batch_size, device=device, n_threads=config.threads)
    with threads(placed.threads), memory_explained():
        model = laid_out(model.to(device.torch), placed)
        dataset = dataset.to(device.torch)
        steps = choose_runner(model, dataset.train, config)
    return Prepared(
        config=config,
        dataset=dataset,
        device=replace(device, threads=placed.threads),
        placed=placed,
        model=model,
        steps=steps,
        servable=entry.is_builtin,
    )


def known_tags(prepared: Prepared, command: Sequence[str] | None, *, policy: str | None = None) -> dict[str, str]:
    """What is known of a run before its first step."""
    from cvexp.tracking.context import context_tags
    from cvexp.tracking.liveness import process_tags

    placed, device, steps = prepared.placed, prepared.device, prepared.steps
    conditions = _conditions(prepared, policy or placed.policy)
    return {
        **context_tags(sys.argv if command is None else command),
        **process_tags(),
        "cvexp.device": str(device.torch),
        "cvexp.device_name": device.name,
        "cvexp.threads": str(placed.threads),
        "cvexp.memory_format": placed.memory_format,
        "cvexp.step_runner": steps.description,
        "cvexp.comparability_key": conditions.key,
        "cvexp.conditions": conditions.to_json(),
        TEST_SET: _test_set(prepared),
    }


def _test_set(prepared: Prepared) -> str:
    config, dataset = prepared.config, prepared.dataset
    limit = config.limit if len(dataset.test) == config.limit else None
    return test_set(dataset.digest, limit=limit, split_seed=config.split_seed)


def _conditions(prepared: Prepared, policy: str) -> Conditions:
    import torch

    from cvexp.device import PRECISION

    config, dataset = prepared.config, prepared.dataset
    split = train_split(
        val_split=f"{config.val_split:g}",
        limit=str(config.limit),
        split_seed=str(config.split_seed),
        train_images=len(dataset.train),
    )
    return Conditions(
        device=prepared.device.name,
        torch=torch.__version__,
        precision=PRECISION,
        threads=policy,
        batch_size=config.batch_size,
        epochs=config.epochs,
        dataset=dataset.digest,
        train_images=len(dataset.train),
        split=split,
        step_runner=prepared.steps.runner.name,
    )
