"""What may be imported from the working folder: a factory that the user typed, and nothing else.

Whoever can leave a file in that folder, in downloads for instance, would otherwise run code in every command there.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import sys
import sysconfig
from importlib.machinery import PathFinder
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import EntryPoint


def entry_points(*, group: str) -> list[EntryPoint]:
    """The entry points of installed packages, as `sys.path` has them; those in the working folder are left out."""
    packages = importlib.metadata.distributions(path=_elsewhere(sys.path))
    return [point for package in packages for point in package.entry_points if point.group == group]


@contextlib.contextmanager
def working_folder(module: str) -> Iterator[None]:
    """Within the block `module`, which the user typed, and its neighbours can be imported from the working folder.

    The folder comes last in `sys.path`, and only where the environment has no package of that name.
    """
    elsewhere = _elsewhere(sys.path)
    found = PathFinder.find_spec(module.partition(".")[0], elsewhere)
    if elsewhere != sys.path or (found is not None and found.origin is not None):  # no origin: part of a package
        yield
        return
    here = str(_here())
    sys.path.append(here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def child_environment() -> dict[str, str]:
    """The environment for a Python process that imports nothing from the working folder, nor do its own children."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path := _elsewhere(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        inherited["PYTHONPATH"] = os.pathsep.join(path)
    # Uvicorn puts a folder in front of the path, by default the working folder; this one is on the path anyhow.
    return {**inherited, "PYTHONSAFEPATH": "1", "UVICORN_APP_DIR": sysconfig.get_path("stdlib")}


def _elsewhere(path: list[str]) -> list[str]:
    """Entries of a search path that do not mean the working folder."""
    here = _here()
    return [entry for entry in path if entry and os.path.realpath(entry) != here]


def _here() -> str | None:
    try:
        return os.path.realpath(os.getcwd())  # noqa: PTH109 - sys.path holds strings
    except FileNotFoundError:  # the folder was deleted; nothing can be imported from it
        return None
