"""Tags for what surrounds a run: the commit, the command, the versions, the process."""

from __future__ import annotations

import getpass
import json
import os
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from cvexp.redaction import without_credentials
from cvexp.runs import VERSIONS
from cvexp.settings import VERSION
from cvexp.text import clean
from cvexp.tracking.git import git, has_filters
from cvexp.tracking.liveness import process_tags

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSIONS_OF = ("torch", "torchvision", "torchmetrics", "mlflow", "numpy")


def context_tags(command: Sequence[str]) -> dict[str, str]:
    """Tags that say where a run came from, by the words of its command; MLflow's own pages read the `mlflow.` ones."""
    return {
        "cvexp.version": VERSION,
        "cvexp.command": shlex.join(clean(without_credentials(word)) for word in command),
        **process_tags(),
        "cvexp.python": platform.python_version(),
        VERSIONS: json.dumps({name: _version(name) for name in VERSIONS_OF}),
        "mlflow.user": _user(),
        "mlflow.source.name": "cvexp",
        "mlflow.source.type": "LOCAL",
        **_git_tags(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in some containers
        return str(os.getuid()) if hasattr(os, "getuid") else ""


def _git_tags() -> dict[str, str]:
    """The working folder's commit, and whether tracked files differ from it; nothing outside a repository.

    Where the answer takes a program that the repository names (see tracking.git), it is `unknown`.
    """
    commit = git("rev-parse", "HEAD")
    if not commit:
        return {}
    status = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    changed = None if has_filters() else git(*status)
    dirty = "unknown" if changed is None else str(bool(changed)).lower()
    return {"mlflow.source.git.commit": commit, "cvexp.git_dirty": dirty}
