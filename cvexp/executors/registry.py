"""The registry of executors. To add one: a module here, and its line in EXECUTORS."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from cvexp.errors import ConfigError, nearest
from cvexp.executors.seam import ATTEMPT
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.executors.seam import Executor

CLUSTERS = {"ray": "cvexp.executors.ray:open_ray", "slurm": "cvexp.executors.slurm:open_slurm"}
"""Executors whose slots are elsewhere; they take `slot` as well, and `n_slots` may be None."""

EXECUTORS = {"inline": "cvexp.executors.inline:open_inline", "local": "cvexp.executors.local:open_local", **CLUSTERS}
"""By name, the function that opens one; it takes `n_slots`, `run` and `address` and raises ConfigError for bad ones."""


def open_executor(
    name: str,
    *,
    n_slots: int | None = None,
    run: str = ATTEMPT,
    address: str | None = None,
    slot: Mapping[str, str] | None = None,
) -> Executor:
    """Open the executor `name` with `n_slots` slots; each runs attempts by the function called `run`.

    By default there is one slot, and on a cluster as many as have room. `address` is where a cluster answers, and
    `slot` what each of its slots has (see executors.slots).

    Raises:
        ConfigError: The name is unknown, or the executor cannot be opened as asked.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"unknown executor: {shown(name)}", nearest(name, EXECUTORS))
    module, _, attribute = EXECUTORS[name].partition(":")
    opened = getattr(import_module(module), attribute)
    if name in CLUSTERS:
        return cast("Executor", opened(n_slots=n_slots, run=run, address=address, slot=slot))
    if slot:
        raise ConfigError(
            "--slot is for slots elsewhere", f"leave it out, or name a cluster: --executor {min(CLUSTERS)}"
        )
    return cast("Executor", opened(n_slots=n_slots or 1, run=run, address=address))
