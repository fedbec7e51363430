"""What tests share: a quiet environment, one store with a few tiny runs, and the command line in process."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ["OMP_NUM_THREADS"] = "1"  # two test processes share two cores

from cvexp.cli.main import run as run_cli
from cvexp.config import run_config
from cvexp.settings import store_settings
from tests.recorded import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings

STORE_VARIABLES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "CVEXP_CHECKPOINTS",
    "CVEXP_DATA_DIR",
    "CVEXP_STATE_DIR",
    "CVEXP_IMAGE_CACHE_GB",
    "COLUMNS",
    "NO_COLOR",
    "FORCE_COLOR",
)


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """No store, data directory or terminal width from outside reaches a test."""
    for name in STORE_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for kind in ("cache", "state"):
        monkeypatch.setenv(f"XDG_{kind.upper()}_HOME", str(tmp_path_factory.getbasetemp() / kind))


@pytest.fixture(autouse=True)
def _no_program(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Quick tests of networks that are not built in log no ONNX file, which takes ten seconds."""
    if request.node.get_closest_marker("slow") is None:
        monkeypatch.setattr("cvexp.training.logged_program.write_program", lambda *_, **__: "this is a quick test")


@pytest.fixture(autouse=True)
def _schema_from_a_copy(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """New databases get a copy of the first one's schema: MLflow's migrations take seconds, and are not tested here."""
    database = sys.modules.get("mlflow.store.db.utils")
    if database is None:
        return
    schema = tmp_path_factory.getbasetemp() / "schema.db"
    migrate = database._initialize_tables

    def initialize(engine: Engine) -> None:
        file = Path(engine.url.database)
        is_new = not file.exists() or file.stat().st_size == 0
        if is_new and schema.exists():
            _copy_database(schema, file)
            return
        migrate(engine)
        if is_new:
            _copy_database(file, schema)

    monkeypatch.setattr(database, "_initialize_tables", initialize)


def _copy_database(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as old, contextlib.closing(sqlite3.connect(target)) as new:
        old.backup(new)


@dataclass(frozen=True)
class Outcome:
    """What a command printed, and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.stdout)


@pytest.fixture
def cvexp(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run a command in this process, in the current folder."""

    def command(*words: str) -> Outcome:
        capsys.readouterr()
        code = run_cli(words)
        printed = capsys.readouterr()
        return Outcome(code, printed.out, printed.err)

    return command


@dataclass(frozen=True)
class Lab:
    """A folder with a store and finished runs on scikit-learn's digits."""

    folder: Path
    settings: StoreSettings
    runs: dict[str, TrainResult]


@pytest.fixture(scope="session")
def _lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    from cvexp.jobs import train

    folder = tmp_path_factory.mktemp("lab")
    before = Path.cwd()
    os.chdir(folder)  # MLflow keeps artifacts in the folder a store is created in
    try:
        settings = store_settings(f"sqlite:///{folder}/mlflow.db", "Default")
        asked = {
            "linear": {"model": "linear"},
            "mlp": {"model": "mlp", "model_args": {"output_relu": False}, "epochs": 2, "seed": 7},
            "tinyvgg": {"model": "tinyvgg", "val_split": 0.2, "optimizer": "adam"},
        }
        runs = {
            name: train.run(
                run_config({"dataset": "digits", "device": "cpu", "epochs": 1, **settings_of}),
                settings,
                data_dir=folder / "data",
                command=["cvexp", "train", name],
            )
            for name, settings_of in asked.items()
        }
    finally:
        os.chdir(before)
    return Lab(folder, settings, runs)


@pytest.fixture
def lab(_lab: Lab, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    """The shared lab as the working folder; tests may read it, and must not change its runs."""
    monkeypatch.chdir(_lab.folder)
    return _lab


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], None]:
    """Puts a store without runs into a folder: a copy of one, since to make one takes seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}").search_experiments()

    def put(folder: Path) -> None:
        shutil.copy(file, folder / "mlflow.db")
        with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database, database:
            # Where the copied store was made, in the project itself, is no place for this one's artifacts.
            database.execute("UPDATE experiments SET artifact_location = ?", (f"{folder}/mlruns/0",))

    return put


@pytest.fixture
def record(empty_store: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recorder:
    """A new working folder with an empty store, and what writes runs into it without training."""
    monkeypatch.chdir(tmp_path)
    empty_store(tmp_path)
    return Recorder(f"sqlite:///{tmp_path}/mlflow.db")
