"""Flags that several verbs share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import flags
from cvexp.config.execution import ExecutionConfig
from cvexp.config.option import settings_of
from cvexp.settings import StoreSettings, store_settings


def store(tracking_uri: str | None, experiment: str | None, data_dir: Path | None = None) -> StoreSettings:
    """Where to track, from the flags, the environment and MLflow's defaults.

    The flags, and `--data-dir` of verbs that have it, are repeated in the commands that are printed.
    """
    return store_settings(tracking_uri, experiment, data_dir)


RunOrFile = Annotated[
    str,
    typer.Argument(
        help="A run, by its id, a unique prefix of it (4 digits or more), its name, @last, @best, @best:METRIC, or "
        "@best@DATASET where runs were measured on different test images (@best@digits,limit=300); or an exported "
        ".pt or .safetensors file."
    ),
]
TrustedModel = Annotated[
    str | None,
    typer.Option(
        "--model",
        help="package.module:factory of a model that is not in the registry, if you trust it.",
        show_default=False,
    ),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where datasets are looked for first and downloaded to. Without it, CVEXP_DATA_DIR or your cache folder.",
        show_default=False,
    ),
]
Device = Annotated[str, flags.info(settings_of(ExecutionConfig)["device"])]
TrackingUri = Annotated[
    str | None,
    typer.Option(
        help="The MLflow store. Without it, MLFLOW_TRACKING_URI or sqlite:///mlflow.db in this folder.",
        show_default=False,
    ),
]
Experiment = Annotated[
    str | None,
    typer.Option(help="The MLflow experiment. Without it, MLFLOW_EXPERIMENT_NAME or Default.", show_default=False),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout, and nothing else there.")]
