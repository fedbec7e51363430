"""A few steps of everything that a run does, in a store that is removed afterwards."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.errors import GateError
from cvexp.settings import store_settings

if TYPE_CHECKING:
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.events import Observer

N_EPOCHS, N_STEPS = 2, 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Smoke:
    """What went well, in the order it was tried: a name and what was seen of it."""

    config: RunConfig
    seconds: float
    parts: dict[str, str]


def run(config: RunConfig, *, data_dir: Path, observer: Observer | None = None) -> Smoke:
    """Train some steps of `config`, and read back what a run leaves behind.

    Raises:
        GateError: What was stored is not what was computed.
        CvexpError: As for jobs.train and jobs.evaluate.
    """
    from cvexp.jobs import evaluate, train
    from cvexp.tracking.local import folder_of
    from cvexp.training.checkpoints import Checkpoints

    started = time.monotonic()
    small = _smaller(config)
    with tempfile.TemporaryDirectory(prefix="cvexp-") as scratch:
        settings = store_settings(f"sqlite:///{scratch}/mlflow.db", "smoke")
        keep = CheckpointPolicy(keep=1)
        result = train.run(small, settings, data_dir=data_dir, name="smoke", policy=keep, observer=observer)
        factory = config.model if ":" in config.model else None
        folder = folder_of(settings, result.run_id)
        checkpoint = None if folder is None else Checkpoints(folder, 1).newest()
        again = evaluate.run(
            result.run_id, settings, data_dir=data_dir, device_name=config.device, trusted_factory=factory
        )
    if checkpoint is None or len(checkpoint.history) != len(result.history):
        raise GateError("the checkpoint does not hold the epochs that were trained", "see: cvexp --debug train …")
    assert result.evaluation is not None  # noqa: S101 - everything is asked for
    if not again.matches:
        raise GateError(
            f"the stored weights give a test loss of {again.evaluation.metrics.loss:.5f}, and the trained model one of "
            f"{result.evaluation.metrics.loss:.5f}",
            "its forward pass depends on more than its parameters and buffers",
        )
    n_steps = sum(len(epoch.step_losses) for epoch in result.history)
    return Smoke(
        config=config,
        seconds=time.monotonic() - started,
        parts={
            "train": f"{n_steps} steps, loss {result.history[0].train.loss:.3f} to {result.history[-1].train.loss:.3f}",
            "evaluate": f"{result.evaluation.metrics.n_images:,} test images",
            "checkpoint": f"written and read back, {len(checkpoint.history)} epochs",
            "log": f"{len(result.metrics())} figures and the weights, which give the same test loss when read back",
        },
    )


def _smaller(config: RunConfig) -> RunConfig:
    """The same options, with as many images as a few steps take."""
    limit = N_STEPS * config.images_per_step
    return replace(
        config,
        epochs=N_EPOCHS,
        limit=limit if config.limit is None else min(limit, config.limit),
        warmup_epochs=min(config.warmup_epochs, 1.0),
        max_time=None,
        target_accuracy=None,
    )
