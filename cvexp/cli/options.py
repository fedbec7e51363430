"""Flags that several verbs share."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import flags
from cvexp.config.execution import ExecutionConfig
from cvexp.config.option import settings_of
from cvexp.runs import EXPORT_SUFFIXES

_RUN = (
    "A run, by its id, a unique prefix of it (4 digits or more), its name, @last, @best, @best:METRIC, or "
    "@best@DATASET where runs were measured on different test images (@best@digits,limit=300); a registered "
    "version, by models:/NAME@ALIAS or models:/NAME/VERSION; or an exported file "
    f"({', '.join(EXPORT_SUFFIXES.values())})."
)
_MODEL = "package.module:factory of a model that is not in the registry, if you trust it."
_DATA = "The folder of datasets. Without it, CVEXP_DATA_DIR or your cache folder."
_STORE = "The MLflow store. Without it, MLFLOW_TRACKING_URI or sqlite:///mlflow.db here."
_EXPERIMENT = "The MLflow experiment. Without it, MLFLOW_EXPERIMENT_NAME or Default."

RunOrFile = Annotated[str, typer.Argument(help=_RUN)]
TrustedModel = Annotated[str | None, typer.Option("--model", help=_MODEL)]
DataDir = Annotated[Path | None, typer.Option(help=_DATA)]
Device = Annotated[str, flags.info(settings_of(ExecutionConfig)["device"])]
TrackingUri = Annotated[str | None, typer.Option(help=_STORE)]
Experiment = Annotated[str | None, typer.Option(help=_EXPERIMENT)]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


class By(StrEnum):
    """Which accuracy it is by; see request.QUALITIES."""

    ACCURACY = "accuracy"
    BALANCED_ACCURACY = "balanced-accuracy"
