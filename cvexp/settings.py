"""Addresses and folders, and the environment variables that set them.

A flag beats its environment variable, which beats the default.
"""

import os
import re
import shlex
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote

from cvexp.errors import ConfigError
from cvexp.redaction import without_credentials
from cvexp.text import shown

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
"""The folder of Debian's dataset packages."""

IMAGE_CACHE_GB = "CVEXP_IMAGE_CACHE_GB"
"""The environment variable with the most that decoded images may take on the disk, in gigabytes."""

STATE_DIR = "CVEXP_STATE_DIR"
"""The environment variable with the folder for local state."""

SHARED_CHECKPOINTS = "CVEXP_CHECKPOINTS"
"""The environment variable with the folder or URL of checkpoints that several machines reach."""

URI = "--tracking-uri"

RUNS, CHECKPOINTS = "runs", "checkpoints"
"""Folders of local state: of the runs under way, and in each of those of its checkpoints."""

_SQLITE = re.compile(r"(?P<dialect>sqlite(\+\w+)?):///(?P<path>(?!:memory:)[^?]+)(?P<query>.*)", re.DOTALL)

_VERBS = ("train", "evaluate", "bench", "confmat", "predict", "explain", "export", "register", "run", "reproduce")
STORE_VERBS = (*_VERBS, "compare", "serve", "sync", "ui", "rm", "relocate", "import", "doctor")
"""Verbs that take --tracking-uri and --experiment."""

DATA_VERBS = (*_VERBS, "compare", "data")
"""Verbs that take --data-dir."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Flags:
    """Flags that say where runs and data are, as they were given; commands that cvexp prints repeat them.

    Credentials are left out of the address: MLflow takes them from MLFLOW_TRACKING_USERNAME and
    MLFLOW_TRACKING_PASSWORD too.
    """

    store: tuple[str, ...] = ()  # --tracking-uri and --experiment with their values
    data: tuple[str, ...] = ()  # --data-dir with its value

    @property
    def data_dir(self) -> Path | None:
        """The value of --data-dir."""
        return Path(self.data[1]) if self.data else None

    def command(self, verb: str, *words: str) -> str:
        """A command to paste into a shell: `cvexp`, the verb, its words, and those of the flags that the verb takes."""
        data = self.data if verb in DATA_VERBS else ()
        store = self.store if verb in STORE_VERBS else ()
        return shlex.join(["cvexp", verb, *words, *data, *store])


@dataclass(frozen=True, kw_only=True, slots=True)
class StoreSettings:
    """Which MLflow store and experiment to use.

    Attributes:
        tracking_uri: MLflow's address of the store.
        experiment: Runs are written to it, and listed from it.
        flags: How the user named them, and the data directory.
        experiment_named: Whether the user named it; selectors such as `@best` then look nowhere else.
    """

    tracking_uri: str = field(default=DEFAULT_TRACKING_URI, repr=False)  # it may hold a password
    experiment: str = DEFAULT_EXPERIMENT
    flags: Flags = field(default_factory=Flags, compare=False)
    experiment_named: bool = field(default=False, compare=False)  # the address is the same

    @property
    def sqlite_file(self) -> Path | None:
        """The database file of a local store; None for any other kind."""
        match = _SQLITE.fullmatch(self.tracking_uri)
        return Path(unquote(match["path"])) if match else None

    @property
    def state_dir(self) -> Path:
        """The folder of local state that is not a result: `.cvexp` beside the database, else in the working folder.

        `CVEXP_STATE_DIR` names another one, as workers of a cluster need it, whose working folder is a temporary one.
        """
        if named := os.environ.get(STATE_DIR):
            return Path(named).expanduser().absolute()
        file = self.sqlite_file
        return (file.parent if file else Path()) / ".cvexp"

    def command(self, verb: str, *words: str) -> str:
        """A command to paste into a shell that uses this store; see `Flags.command`."""
        return self.flags.command(verb, *words)

    def mlflow_command(self, *words: str) -> str:
        """A command of MLflow's own to paste into a shell that uses this store."""
        address = [f"MLFLOW_TRACKING_URI={shlex.quote(self.flags.store[1])}"] if self.flags.store[:1] == (URI,) else []
        return " ".join([*address, shlex.join(["mlflow", *words])])


def typed_flags(tracking_uri: str | None = None, experiment: str | None = None, data_dir: Path | None = None) -> Flags:
    """The flags that were given; what is None comes from the environment or a default, and is not repeated."""
    address = (URI, without_credentials(tracking_uri)) if tracking_uri else ()
    return Flags(
        store=(*address, *(("--experiment", experiment) if experiment else ())),
        data=("--data-dir", str(data_dir)) if data_dir else (),
    )


def store_settings(
    tracking_uri: str | None = None, experiment: str | None = None, data_dir: Path | None = None
) -> StoreSettings:
    """Resolve the store: arguments, then `MLFLOW_TRACKING_URI` and `MLFLOW_EXPERIMENT_NAME`, then MLflow's defaults.

    `data_dir` is repeated in the commands that are printed.
    """
    named = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME")
    return StoreSettings(
        flags=typed_flags(tracking_uri, experiment, data_dir),
        tracking_uri=_absolute(tracking_uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_TRACKING_URI),
        experiment=named or DEFAULT_EXPERIMENT,
        experiment_named=bool(named),
    )


def _absolute(tracking_uri: str) -> str:
    """A relative SQLite path made absolute: MLflow caches stores by URI, and a process may change its folder."""
    match = _SQLITE.fullmatch(tracking_uri)
    if not match:
        return tracking_uri
    return sqlite_uri(Path(unquote(match["path"])), dialect=match["dialect"]) + match["query"]


def sqlite_uri(file: Path, *, dialect: str = "sqlite") -> str:
    """The URI by which SQLAlchemy opens `file`, made absolute.

    SQLAlchemy decodes percent-encoded characters, and ends the path at a `?`. MLflow makes the folder of a path behind
    `sqlite:///` without decoding it, so that an encoded path goes behind the equivalent `sqlite+pysqlite:///`.
    """
    path = str(file.absolute())
    encoded = path.replace("%", "%25").replace("?", "%3F")
    return f"{'sqlite+pysqlite' if encoded != path and dialect == 'sqlite' else dialect}:///{encoded}"


def data_dir(given: Path | None = None) -> Path:
    """The data directory: the argument, then `CVEXP_DATA_DIR`, then the platform's cache folder for the user."""
    named = given or os.environ.get("CVEXP_DATA_DIR")
    return Path(named).expanduser() if named else cached_data_dir()


def image_cache_dir() -> Path:
    """The folder of decoded images, in the platform's cache folder for the user."""
    import platformdirs

    return platformdirs.user_cache_path("cvexp") / "images"


def exported_digests() -> Path:
    """The folder of the digests of files that this user exported, in the platform's folder for the user's state."""
    import platformdirs

    return platformdirs.user_state_path("cvexp") / "exported"


def image_cache_limit() -> int | None:
    """Bytes that decoded images may take on the disk, from `CVEXP_IMAGE_CACHE_GB`; None where it is not set.

    Raises:
        ConfigError: It is no number of gigabytes.
    """
    typed = os.environ.get(IMAGE_CACHE_GB)
    if not typed:
        return None
    try:
        n_bytes = float(typed) * 10**9
        if 0 <= n_bytes <= sys.maxsize:
            return int(n_bytes)
    except ValueError:
        pass
    raise ConfigError(
        f"{IMAGE_CACHE_GB}={shown(typed)}: not a number of gigabytes", f"for example: {IMAGE_CACHE_GB}=20"
    )


def cached_data_dir() -> Path:
    """The data directory where none is named: in the platform's cache folder for the user."""
    import platformdirs

    return platformdirs.user_cache_path("cvexp") / "data"
