"""What surrounds a run: the commit, the command, the versions, the process. Read, never guessed."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import socket
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from cvexp.settings import VERSION, without_credentials
from cvexp.text import clean

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSIONS_OF = ("torch", "torchvision", "torchmetrics", "mlflow", "numpy")
GIT_TIMEOUT_SECONDS = 5


def context_tags(command: Sequence[str]) -> dict[str, str]:
    """Tags that say where a run came from; the `mlflow.` ones are those MLflow's own pages read.

    Args:
        command: The words of the command that started it.
    """
    return {
        "cvexp.version": VERSION,
        "cvexp.command": shlex.join(clean(without_credentials(word)) for word in command),
        "cvexp.host": socket.gethostname(),
        "cvexp.pid": str(os.getpid()),
        "cvexp.python": platform.python_version(),
        **{f"cvexp.versions.{name}": _version(name) for name in VERSIONS_OF},
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
    """The working folder's commit, and whether tracked files differ from it; nothing outside a repository."""
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {"mlflow.source.git.commit": commit, "cvexp.git_dirty": str(bool(changed)).lower()}


def _git(*arguments: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            ["git", *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            text=True,
            timeout=GIT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
