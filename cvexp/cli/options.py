"""Flags that several verbs share, and the completion of their values."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cvexp.config import RunConfig
from cvexp.settings import StoreSettings, store_settings

DEFAULTS = RunConfig(model="")
"""Where flags take their defaults from, so that they and the configuration never disagree."""


def _complete_models(incomplete: str) -> list[str]:
    """Names of models that begin so."""
    from cvexp.models.registry import entries

    return [name for name in entries() if name.startswith(incomplete)]


def _complete_datasets(incomplete: str) -> list[str]:
    from cvexp.data.registry import specs

    return [name for name in specs() if name.startswith(incomplete)]


def store(tracking_uri: str | None, experiment: str | None, data_dir: Path | None = None) -> StoreSettings:
    """Where to track, from the flags, the environment and MLflow's defaults.

    The flags, and `--data-dir` of verbs that have it, are repeated in the commands that are printed.
    """
    return store_settings(tracking_uri, experiment, data_dir)


Model = Annotated[
    str | None,
    typer.Argument(
        help="linear, mlp, tinyvgg, a plug-in's name, or package.module:factory (see: cvexp models).",
        autocompletion=_complete_models,
        show_default=False,
    ),
]
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
Dataset = Annotated[
    str,
    typer.Option(help="Which dataset (see: cvexp data).", autocompletion=_complete_datasets),
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        help="Where datasets are looked for first and downloaded to. Without it, CVEXP_DATA_DIR or your cache folder.",
        show_default=False,
    ),
]
HiddenUnits = Annotated[int, typer.Option(help="Units of the hidden layer, or channels of the convolutions.")]
ModelArgs = Annotated[
    list[str] | None,
    typer.Option(
        "--model-arg",
        metavar="NAME=VALUE",
        help="An argument of the model's own; may be repeated. The course's mlp has a ReLU after the output layer, "
        "which clips negative logits and costs about nine points of accuracy; output_relu=false leaves it out.",
        show_default=False,
    ),
]
Device = Annotated[
    str,
    typer.Option(help="auto, cpu, cuda, cuda:N or mps; auto takes the fastest kind there is."),
]
ValSplit = Annotated[
    float,
    typer.Option(help="Fraction of the training images set aside for validation, stratified; 0 for none."),
]
SplitSeed = Annotated[int, typer.Option(help="Seeds which images are set aside, and which ones --limit keeps.")]
Limit = Annotated[
    int | None,
    typer.Option(help="Use at most so many images of each split, for a quick look.", show_default=False),
]
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
