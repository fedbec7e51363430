"""`cvexp models`."""

from __future__ import annotations

from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.flags import Given, with_flags
from cvexp.cli.output import present
from cvexp.config import RunConfig, run_config
from cvexp.errors import ConfigError


@with_flags(RunConfig, only=("dataset", "hidden_units", "model_args"))
def models(
    name: Annotated[
        str | None, typer.Argument(help="The model to take apart; without it, all are listed.", show_default=False)
    ] = None,
    *,
    given: Given,
    as_json: options.Json = False,
) -> None:
    """List the models with their size, or show one layer by layer."""
    from cvexp.jobs import models as job
    from cvexp.report import models as report
    from cvexp.report.terminal import print_json

    config = run_config({"model": name or "-", **given.settings})
    if name is None:
        if config.model_args:
            raise ConfigError(
                "--model-arg needs a model", "for example: cvexp models mlp --model-arg output_relu=false"
            )
        listed = job.list_all(dataset=config.dataset, hidden_units=config.hidden_units)
        if as_json:
            print_json({"models": [report.document(model) for model in listed]})
        else:
            report.show_list(listed)
        return
    model = job.describe(name, dataset=config.dataset, hidden_units=config.hidden_units, model_args=config.model_args)
    present(model, report, as_json=as_json)
