"""`cvexp train --devices N`, and `cvexp train` under torchrun."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import typer

from cvexp.config.option import settings_of
from cvexp.config.rehearsal import Rehearsal
from cvexp.errors import ConfigError
from cvexp.process import rank_here

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cvexp.cli.flags import Given
    from cvexp.config import RunConfig
    from cvexp.settings import StoreSettings

_REMEDIES = {
    "seeds": "train one seed after the other: --seed N",
    "bench": "then measure it by itself: cvexp bench @last",
    **dict.fromkeys(settings_of(Rehearsal), "one device is enough for that: leave --devices out"),
}
"""Flags that processes which train together do not support, and what to do instead."""


def on_devices(config: RunConfig) -> RunConfig:
    """What was asked for, on as many devices as torchrun started processes where no number was asked for."""
    place = rank_here()
    return config if place is None or config.devices > 1 else replace(config, devices=place.world)


def train_on_devices(
    asked: Callable[[], RunConfig],
    given: Given,
    *,
    resume: str | None,
    store: StoreSettings,
    data_dir: Path,
    arguments: Sequence[str],
) -> None:
    """Where several processes are to train, start them or follow the first; returns where this one is to train itself.

    Raises:
        typer.Exit: That was done, with the exit code.
        ConfigError: A flag cannot be given with several devices.
    """
    place = rank_here()
    if place is not None:
        from cvexp.jobs.devices import keep_torch_quiet

        keep_torch_quiet()
    if place is not None and place.rank:
        from cvexp.jobs.devices import follow

        model = given.settings.get("model") if resume is not None else asked().model
        raise typer.Exit(follow(data_dir, model=model))
    if place is not None:
        devices, device = place.world, ""
    elif resume is not None:
        from cvexp.jobs.devices import devices_of

        devices, device = devices_of(resume, store)
    else:
        config = asked()
        devices, device = config.devices, config.device
    if devices == 1:
        return
    for name in (name for name in _REMEDIES if name in given.flags):
        raise ConfigError(f"{given.flags[name]} cannot be given with several devices", _REMEDIES[name])
    if place is None:
        from cvexp.jobs.devices import launch

        raise typer.Exit(launch(arguments, devices=devices, device=device))
