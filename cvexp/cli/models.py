"""`cvexp models`."""

from __future__ import annotations

from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.options import DEFAULTS
from cvexp.cli.output import present
from cvexp.config import parse_model_args, run_config


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="The model to take apart; without it, all are listed.", show_default=False),
    ] = None,
    *,
    dataset: options.Dataset = DEFAULTS.dataset,
    hidden_units: options.HiddenUnits = DEFAULTS.hidden_units,
    model_arg: options.ModelArgs = None,
    as_json: options.Json = False,
) -> None:
    """List the models with their size, or show one layer by layer."""
    from cvexp.errors import ConfigError
    from cvexp.jobs import models as job
    from cvexp.report import models as report
    from cvexp.report.terminal import print_json

    model_args = parse_model_args(model_arg or [])
    run_config({"model": name or "-", "dataset": dataset, "hidden_units": hidden_units})
    if name is None:
        if model_args:
            raise ConfigError(
                "--model-arg needs a model", "for example: cvexp models mlp --model-arg output_relu=false"
            )
        listed = job.list_all(dataset=dataset, hidden_units=hidden_units)
        if as_json:
            print_json({"models": [report.document(model) for model in listed]})
        else:
            report.show_list(listed)
        return
    model = job.describe(name, dataset=dataset, hidden_units=hidden_units, model_args=model_args)
    present(model, report, as_json=as_json)
