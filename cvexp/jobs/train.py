"""Train one model on one dataset, and leave a run behind that says everything about it."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from cvexp.data.registry import find_spec
from cvexp.errors import ConfigError, RunError, StorageError
from cvexp.jobs.checkpoints import Checkpoints, Keeping
from cvexp.jobs.observer import Silent
from cvexp.jobs.signals import Stop
from cvexp.jobs.training import Prepared, Training
from cvexp.models.registry import complete_arguments, find_entry
from cvexp.results import Conditions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.jobs.observer import TrainObserver
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings

REQUEST = "request.json"
"""In a run's folder: what was asked for, and what decides its bits besides."""


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

    Everything that can be checked is checked before the run is opened, so bad input leaves no run behind.

    Args:
        config: What to train, on what, how long.
        settings: Where to track it.
        data_dir: Where datasets are looked for first, and downloaded to.
        name: The run's name; by default the model's with the first digits of the run's id.
        keeping: When to write checkpoints; by default after every epoch.
        command: What was typed, for the record; by default this process's own arguments.
        started: `time.monotonic()` when the command began, for the total time; by default now.
        observer: Told how it goes.

    Raises:
        InputError: The model, dataset, device or store cannot be used as asked.
        TrainingError: The loss is no number, or there is no memory left.
        StorageError: The disk is full.
    """
    started = time.monotonic() if started is None else started
    keeping = keeping or Keeping()
    with Stop() as stop:
        prepared = prepare(config, data_dir)
        from cvexp.device import threads
        from cvexp.tracking.pending import sync_quietly
        from cvexp.tracking.run import open_run

        tags = _tags(prepared, command)
        model = config.model.rpartition(":")[2]
        sync_quietly(settings)
        with (
            threads(prepared.placed.threads),
            open_run(
                settings,
                model=model,
                name=name,
                tags=tags,
                furnish=lambda folder: _write_request(folder, prepared),
                keep=keeping.keep is not None,
            ) as tracked,
        ):
            training = Training(
                prepared=prepared,
                tracked=tracked,
                settings=settings,
                keeping=keeping,
                stop=stop,
                observer=observer or Silent(),
                started=started,
            )
            result = training.run()
        return replace(result, undelivered=tracked.undelivered, trouble=tracked.trouble if tracked.undelivered else "")


def resume(
    selector: str,
    settings: StoreSettings,
    *,
    data_dir: Path,
    model: str | None = None,
    epochs: int | None = None,
    allow_nan: bool | None = None,
    keeping: Keeping | None = None,
    command: Sequence[str] | None = None,
    started: float | None = None,
    observer: TrainObserver | None = None,
) -> TrainResult:
    """Go on with a run that was interrupted, in the same run, to the bits that an uninterrupted one would have had.

    Args:
        selector: Which run; see tracking.find.
        settings: Where it is tracked.
        data_dir: As for `run`.
        model: Only for a run of `package.module:factory`, which has to be named again, since code is not taken from a
            run's records.
        epochs: More than the run asked for, to train on; by default as many.
        allow_nan: As in the configuration; by default what the run asked for.
        keeping: As for `run`.
        command: As for `run`.
        started: As for `run`.
        observer: As for `run`.

    Raises:
        InputError: The run cannot be resumed here, or needs no resuming.
        TrainingError: As for `run`.
        StorageError: As for `run`.
    """
    started = time.monotonic() if started is None else started
    keeping = keeping or Keeping()
    with Stop() as stop:
        found = _find(selector, settings)
        request = _read_request(found.folder)
        config = _resumed_config(request.config, model=model, epochs=epochs, allow_nan=allow_nan)
        checkpoint = Checkpoints(found.folder, keeping.keep).newest()
        if found.status == "FINISHED" and (checkpoint is None or config.epochs <= len(checkpoint.history)):
            raise RunError(
                f"run {found.name} has finished its {request.config.epochs} epochs",
                "to train on, give a larger --epochs",
            )
        prepared = prepare(replace(config, threads=request.threads), data_dir)
        prepared = replace(prepared, config=config)
        if prepared.dataset.digest != request.dataset_digest:
            raise RunError(
                f"run {found.name} was trained on other data than {prepared.dataset.place} holds",
                "name the folder it was trained on with --data-dir",
            )
        from cvexp.device import threads
        from cvexp.tracking.run import reopen_run

        tags = _tags(prepared, command, policy=request.policy)
        if config.epochs != request.config.epochs:
            tags["cvexp.epochs"] = str(config.epochs)
        with (
            threads(prepared.placed.threads),
            reopen_run(settings, found.folder, tags=tags, keep=keeping.keep is not None) as tracked,
        ):
            training = Training(
                prepared=prepared,
                tracked=tracked,
                settings=settings,
                keeping=keeping,
                stop=stop,
                observer=observer or Silent(),
                started=started,
                resumed=checkpoint,
            )
            result = training.run()
        return replace(result, undelivered=tracked.undelivered, trouble=tracked.trouble if tracked.undelivered else "")


def prepare(config: RunConfig, data_dir: Path) -> Prepared:
    """Find the data, build the model, choose how steps are run; nothing is written.

    Raises:
        InputError: The model, dataset or device cannot be used as asked.
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
    with threads(placed.threads):
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


def _tags(prepared: Prepared, command: Sequence[str] | None, *, policy: str | None = None) -> dict[str, str]:
    """What is known of a run before its first step."""
    from cvexp.tracking.context import context_tags
    from cvexp.tracking.pending import process_tags

    placed, device, steps = prepared.placed, prepared.device, prepared.steps
    conditions = _conditions(prepared, policy or placed.policy)
    return {
        **context_tags(sys.argv if command is None else command),
        **process_tags(),
        "cvexp.device": str(device.torch),
        "cvexp.device_name": device.name,
        "cvexp.threads": str(placed.threads),
        "cvexp.memory_format": placed.memory_format,
        "cvexp.step_runner": f"{steps.runner.name} ({steps.reason})",
        "cvexp.comparability_key": conditions.key,
        "cvexp.conditions": conditions.to_json(),
    }


def _conditions(prepared: Prepared, policy: str) -> Conditions:
    import torch

    from cvexp.device import PRECISION

    config, dataset = prepared.config, prepared.dataset
    split = f"val {config.val_split:g}, seed {config.split_seed}" if dataset.val is not None else "none"
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
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Request:
    """What a run was asked to do, and what decided its bits besides."""

    config: RunConfig
    threads: int
    policy: str
    dataset_digest: str


def _write_request(folder: Path, prepared: Prepared) -> None:
    from cvexp.checkpoint import write_atomically

    request = {
        "config": {**asdict(prepared.config), "model_args": dict(prepared.config.model_args)},
        "threads": prepared.placed.threads,
        "policy": prepared.placed.policy,
        "dataset_digest": prepared.dataset.digest,
    }
    try:
        write_atomically(folder / REQUEST, json.dumps(request, indent=1).encode())
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}", "make room there") from error


def _read_request(folder: Path) -> _Request:
    from cvexp.config import run_config

    try:
        read = json.loads((folder / REQUEST).read_bytes())
        return _Request(
            config=run_config(read["config"]),
            threads=int(read["threads"]),
            policy=str(read["policy"]),
            dataset_digest=str(read["dataset_digest"]),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"cannot resume: {folder / REQUEST} is missing or damaged", "start a new run") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class _Found:
    """A run to go on with."""

    name: str
    status: str
    folder: Path


def _find(selector: str, settings: StoreSettings) -> _Found:
    from cvexp.jobs.source import find_run
    from cvexp.tracking.pending import folder_of

    run = find_run(selector, settings)
    folder = folder_of(settings, run.run_id)
    if folder is None:
        if run.status == "FINISHED":
            raise RunError(
                f"run {run.name} has finished, and its checkpoints are gone",
                "train with --keep 1 to be able to train on later",
            )
        raise RunError(
            f"run {run.name} left nothing to go on with in {settings.state_dir.absolute()}",
            "runs are resumed on the machine and in the folder where they began",
        )
    return _Found(name=run.name, status=run.status, folder=folder)


def _resumed_config(config: RunConfig, *, model: str | None, epochs: int | None, allow_nan: bool | None) -> RunConfig:
    """The run's configuration with what may change."""
    if model is not None and model != config.model:
        raise ConfigError(f"the run trained {config.model}, not {model}", "leave MODEL out")
    if ":" in config.model and model is None:
        raise ConfigError(
            f"the run's model is code of its own: {config.model}",
            "if you trust it, name it: cvexp train MODEL --resume RUN",
        )
    if epochs is not None and epochs < config.epochs:
        raise ConfigError(f"--epochs {epochs}: the run asked for {config.epochs}", "give more, or leave it out")
    if epochs is not None:
        config = replace(config, epochs=epochs)
    return config if allow_nan is None else replace(config, allow_nan=allow_nan)
