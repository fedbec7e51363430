"""What may be imported from the working folder: a factory that the user typed, and nothing else.

Otherwise a file that somebody else put in that folder, such as a download, could run code in every command there.
"""

import contextlib
import os
import sys
import sysconfig
from collections.abc import Iterator
from importlib.machinery import PathFinder
from importlib.metadata import EntryPoint, distributions
from importlib.util import find_spec
from pathlib import Path


def entry_points(*, group: str) -> list[EntryPoint]:
    """The entry points of packages on `sys.path`, except those in the working folder."""
    packages = distributions(path=_elsewhere(sys.path))
    return [point for package in packages for point in package.entry_points if point.group == group]


@contextlib.contextmanager
def working_folder(module: str) -> Iterator[None]:
    """Allow importing `module`, which the user typed, and modules beside it from the working folder.

    The folder is appended to `sys.path`, and only if the environment has no package of that name.
    """
    elsewhere = _elsewhere(sys.path)
    found = PathFinder.find_spec(module.partition(".")[0], elsewhere)
    if elsewhere != sys.path or (found is not None and found.origin is not None):  # no origin: a namespace package
        yield
        return
    here = str(_here())
    sys.path.append(here)
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(here)


def package_folder(name: str) -> Path:
    """The folder of an installed package, which is not imported; raises ModuleNotFoundError where there is none."""
    found = find_spec(name)
    if found is None or found.origin is None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
    return Path(found.origin).parent


def child_environment() -> dict[str, str]:
    """Environment variables for a Python process that, like its children, imports nothing from the working folder."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if path := _elsewhere(os.environ.get("PYTHONPATH", "").split(os.pathsep)):
        inherited["PYTHONPATH"] = os.pathsep.join(path)
    # Uvicorn prepends a folder to the path, by default the working folder; the standard library's is there already.
    return {**inherited, "PYTHONSAFEPATH": "1", "UVICORN_APP_DIR": sysconfig.get_path("stdlib")}


def _elsewhere(path: list[str]) -> list[str]:
    """Entries of a search path other than the working folder."""
    here = _here()
    return [entry for entry in path if entry and os.path.realpath(entry) != here]


def _here() -> str | None:
    try:
        return os.path.realpath(os.getcwd())  # noqa: PTH109 - sys.path holds strings
    except FileNotFoundError:  # the folder was deleted; nothing can be imported from it
        return None
