"""Where things live, and which environment variable says so.

A flag beats its environment variable, which beats the default.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

VERSION = "0.1.0"
"""Of cvexp; the package's metadata takes it from here."""

DEFAULT_TRACKING_URI = "sqlite:///mlflow.db"
"""MLflow's own default, so that a plain `mlflow ui` in the same folder shows the same runs."""

DEFAULT_EXPERIMENT = "Default"
"""MLflow's own default, so that a plain `mlflow.search_runs()` finds the runs."""

LOOPBACK = "127.0.0.1"
"""The address that this machine alone can reach."""

ADMIN = "admin"
"""The name that MLflow's pages ask for where others can reach them."""

DEBIAN_DATASETS = Path("/usr/share/datasets")
"""Where Debian's dataset packages put their files."""

RUNS, CHECKPOINTS = "runs", "checkpoints"
"""Folders of local state: of the runs under way, and in each of those of its checkpoints."""

_SQLITE = re.compile(r"^sqlite(\+\w+)?:///(?P<path>(?!:memory:)[^?]+)")
_CREDENTIALS = re.compile(
    r"(?<=://)"
    r"(?:[^/\s:@\[\]]*:(?:(?!://)\S)*@"  # user:password, also with a slash that should have been encoded
    r"|[^/\s]*@)"  # user alone
)
_SECRETS = re.compile(r"(?i)([?&](?:password|passwd|pwd|token|secret|api_?key)=)[^&\s'\"]+")
_UNENCODED = re.compile(r"https?://[^/\s:@\[\]]+:(?!\d*(?:[/?#]|$))[^@/?#]*[/?#]\S*@")


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSettings:
    """Which MLflow store and experiment to use.

    Attributes:
        tracking_uri: MLflow's address of the store.
        experiment: Runs are written to it, and listed from it.
        experiment_named: Whether the user named it; selectors such as `@best` then look nowhere else.
    """

    tracking_uri: str = field(default=DEFAULT_TRACKING_URI, repr=False)  # it may hold a password
    experiment: str = DEFAULT_EXPERIMENT
    experiment_named: bool = field(default=False, compare=False)  # the place is the same

    @property
    def sqlite_file(self) -> Path | None:
        """The database file of a local store; None for any other kind."""
        match = _SQLITE.match(self.tracking_uri)
        return Path(match["path"]) if match else None

    @property
    def state_dir(self) -> Path:
        """Where local state that is not a result lives: `.cvexp` beside the database, else in the working folder."""
        file = self.sqlite_file
        return (file.parent if file else Path()) / ".cvexp"


def store_settings(tracking_uri: str | None = None, experiment: str | None = None) -> StoreSettings:
    """Resolve the store: arguments, then `MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME`, then MLflow's defaults."""
    named = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME")
    return StoreSettings(
        tracking_uri=_anchored(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI),
        experiment=named or DEFAULT_EXPERIMENT,
        experiment_named=bool(named),
    )


def _anchored(tracking_uri: str) -> str:
    """A relative SQLite path made absolute: MLflow caches stores by URI, and a process may change its folder."""
    match = _SQLITE.match(tracking_uri)
    if not match:
        return tracking_uri
    start, end = match.span("path")
    return f"{tracking_uri[:start]}{Path(match['path']).absolute()}{tracking_uri[end:]}"


def data_dir(given: Path | None = None) -> Path:
    """The data directory: the argument, then `CVEXP_DATA_DIR`, then the platform's cache folder for the user."""
    if given is not None:
        return given.expanduser()
    if named := os.environ.get("CVEXP_DATA_DIR"):
        return Path(named).expanduser()
    return cached_data_dir()


def cached_data_dir() -> Path:
    """The data directory where none is named: in the platform's cache folder for the user."""
    import platformdirs

    return platformdirs.user_cache_path("cvexp") / "data"


def without_credentials(text: str) -> str:
    """`text` with the `user:password@` part of every URI in it removed, and `password=` and its like emptied.

    Also where the password holds characters that a URI wants percent-encoded. What looks like a port, a path and an
    `@` in it goes too: it may be a password.
    """
    return _SECRETS.sub(r"\1***", _CREDENTIALS.sub("", text))


def password_needs_encoding(uri: str) -> bool:
    """Whether an http address holds a password with a raw `/`, `?` or `#`, after which it is no address any more."""
    return _UNENCODED.match(uri) is not None
