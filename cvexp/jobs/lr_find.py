"""Find a learning rate by a range test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cvexp.errors import ModelError
from cvexp.training.out_of_memory import memory_explained
from cvexp.training.session import ONE_AT_A_TIME, prepare

if TYPE_CHECKING:
    from cvexp.config import RunConfig

PICTURE = Path("lr_find.png")


@dataclass(frozen=True, kw_only=True, slots=True)
class LrFound:
    """What a range test found.

    Attributes:
        config: What would be trained, as it was asked for.
        rates: Of each step, growing.
        losses: The training loss of each step, in nats per image.
        lr: The suggested rate; None where the loss never fell.
        plot: Where the picture is.
    """

    config: RunConfig
    rates: tuple[float, ...]
    losses: tuple[float, ...]
    lr: float | None
    plot: Path


def run(config: RunConfig, *, data_dir: Path, plot: Path = PICTURE) -> LrFound:
    """Train a copy of the model with growing rates, and draw the losses; no run is made.

    Raises:
        InputError: Something cannot be used as asked, or the picture cannot be written.
    """
    from cvexp.plots.files import check_path

    check_path(plot)
    unscheduled = replace(config, schedule="none", warmup_epochs=0.0, ema=None, step="eager", compile=False)
    with ONE_AT_A_TIME:
        prepared = prepare(unscheduled, data_dir)
        from cvexp.device import threads
        from cvexp.engine.lr_range import range_test, smoothed, suggestion
        from cvexp.engine.state import Unsupported
        from cvexp.plots.files import save
        from cvexp.plots.lr_range import lr_range

        runner = prepared.steps.runner
        with threads(prepared.layout.threads), memory_explained():
            try:
                rates, losses = range_test(
                    runner.state, runner.source, images_per_step=config.images_per_step, seed=config.seed
                )
            except Unsupported as error:
                raise ModelError(f"--lr-find cannot be used: {error}", "choose a rate by trying some") from error
    lr = suggestion(rates, losses)
    title = f"{config.model} on {prepared.dataset.name}, {config.optimizer}, {config.images_per_step} images a step"
    save(lr_range(rates, losses, smoothed(losses), chosen=lr, title=title), plot)
    return LrFound(config=config, rates=tuple(rates), losses=tuple(losses), lr=lr, plot=plot)
