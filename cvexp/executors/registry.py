"""The registry of executors. To add one: a module here, and its line in EXECUTORS."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from cvexp.errors import ConfigError, nearest
from cvexp.executors.seam import ATTEMPT
from cvexp.text import shown

if TYPE_CHECKING:
    from cvexp.executors.seam import Executor

EXECUTORS = {"inline": "cvexp.executors.inline:open_inline"}
"""By name, the function that opens one; it takes `n_slots`, `run` and `address` and raises ConfigError for bad ones."""


def open_executor(name: str, *, n_slots: int = 1, run: str = ATTEMPT, address: str | None = None) -> Executor:
    """Open the executor `name` with `n_slots` slots; each runs attempts by the function called `run`.

    `address` is where a cluster answers, for executors that have one.

    Raises:
        ConfigError: The name is unknown, or the executor cannot be opened as asked.
    """
    if name not in EXECUTORS:
        raise ConfigError(f"unknown executor: {shown(name)}", nearest(name, EXECUTORS))
    module, _, attribute = EXECUTORS[name].partition(":")
    opened = getattr(import_module(module), attribute)
    return cast("Executor", opened(n_slots=n_slots, run=run, address=address))
