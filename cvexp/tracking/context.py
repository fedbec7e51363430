"""Tags for what surrounds a run: the commit, the command, the versions, the process."""

from __future__ import annotations

import getpass
import os
import platform
import shlex
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from cvexp.redaction import without_credentials
from cvexp.settings import VERSION
from cvexp.text import clean
from cvexp.tracking.liveness import process_tags

if TYPE_CHECKING:
    from collections.abc import Sequence

VERSIONS_OF = ("torch", "torchvision", "torchmetrics", "mlflow", "numpy")
GIT_TIMEOUT_SECONDS = 5
_GIT_READS_ONLY = {
    "GIT_OPTIONAL_LOCKS": "0",  # the index is not written, so no hook hears of it
    "GIT_NO_LAZY_FETCH": "1",  # missing objects are not fetched
    "GIT_ALLOW_PROTOCOL": "none",  # nor by a git that does not know the line above
}


def context_tags(command: Sequence[str]) -> dict[str, str]:
    """Tags that say where a run came from, by the words of its command; MLflow's own pages read the `mlflow.` ones."""
    return {
        "cvexp.version": VERSION,
        "cvexp.command": shlex.join(clean(without_credentials(word)) for word in command),
        **process_tags(),
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
    """The working folder's commit, and whether tracked files differ from it; nothing outside a repository.

    The repository is untrusted: programs that its configuration names are not started. Where the answer takes one, it
    is `unknown`.
    """
    commit = _git("rev-parse", "HEAD")
    if not commit:
        return {}
    status = ("status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty")
    changed = None if _has_filters() else _git(*status)
    dirty = "unknown" if changed is None else str(bool(changed)).lower()
    return {"mlflow.source.git.commit": commit, "cvexp.git_dirty": dirty}


def _has_filters() -> bool:
    """Whether the repository names programs that files pass through; those in the user's own settings may run."""
    wanted = r"^(filter\..*\.(clean|process)|lfs\.extension\..*)$"
    named = _git("config", "--show-scope", "--name-only", "--get-regexp", wanted, no_match=1)
    return named is None or any(line.startswith(("local", "worktree")) for line in named.splitlines())


def _git(*arguments: str, no_match: int = 0) -> str | None:
    """What git prints; None where it fails, which the exit code `no_match` does not mean."""
    try:
        done = subprocess.run(  # noqa: S603 - fixed words, no shell
            ["git", "-c", "core.fsmonitor=false", "-c", f"core.hooksPath={os.devnull}", *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **_GIT_READS_ONLY},
            text=True,
            errors="replace",  # a file's name may be no text
            timeout=GIT_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode in (0, no_match) else None
