"""`cvexp models`."""

from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.flags import Given, with_flags
from cvexp.cli.output import present
from cvexp.config import RunConfig, run_config
from cvexp.errors import ConfigError

_NAME = "The model to show layer by layer; without it, all are listed."


@with_flags(RunConfig, only=("dataset", "hidden_units", "model_args"))
def models(
    name: Annotated[str | None, typer.Argument(help=_NAME, show_default=False)] = None,
    *,
    given: Given,
    as_json: options.Json = False,
) -> None:
    """List the models with their size, or show one layer by layer."""
    from cvexp.jobs import models as job
    from cvexp.report import models as report
    from cvexp.report.terminal import print_json

    config = run_config({"model": name or "-", **given.settings})
    dataset, hidden_units = config.dataset, config.hidden_units
    if name is not None:
        model = job.describe(name, dataset=dataset, hidden_units=hidden_units, model_args=config.model_args)
        present(model, report, as_json=as_json)
        return
    if config.model_args:
        raise ConfigError("--model-arg needs a model", "for example: cvexp models mlp --model-arg output_relu=false")
    listed = job.list_all(dataset=dataset, hidden_units=hidden_units)
    if as_json:
        print_json({"models": [report.document(model) for model in listed]})
    else:
        report.show_list(listed)
