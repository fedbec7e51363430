"""`cvexp models`."""

from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.flags import Given, with_flags
from cvexp.cli.output import present
from cvexp.config import RunConfig, run_config
from cvexp.errors import ConfigError

_NAME = "The model to show block by block; without it, all are listed. With --all, a pattern of names."
_ALL = "List the models of torchvision and timm too: all, or those whose name has the pattern NAME, such as 'resnet*'."
_DEPTH = "Show blocks at this depth, with what is within them added up. Without it, as deep as fits a screen."


@with_flags(RunConfig, only=("dataset", "image_size", "hidden_units", "model_args", "freeze"))
def models(
    name: Annotated[str | None, typer.Argument(help=_NAME, show_default=False)] = None,
    *,
    given: Given,
    all_of_them: Annotated[bool, typer.Option("--all", help=_ALL)] = False,
    depth: Annotated[int | None, typer.Option(min=1, help=_DEPTH, show_default=False)] = None,
    as_json: options.Json = False,
) -> None:
    """List the models with their size, or show one layer by layer.

    The table of a model has the shapes of each block's input and output, its parameters, whether they are trained with
    --freeze as given, and its multiply-accumulates for one image.
    """
    from cvexp.jobs import models as job
    from cvexp.report import models as report
    from cvexp.report.terminal import print_json

    config = run_config({"model": (None if all_of_them else name) or "-", **given.settings})
    if name is not None and not all_of_them:
        present(job.describe(config, depth=depth), report, as_json=as_json)
        return
    if config.model_args:
        raise ConfigError("--model-arg needs a model", "for example: cvexp models mlp --model-arg output_relu=false")
    if depth is not None or config.freeze is not None:
        flag = "--freeze" if depth is None else "--depth"
        raise ConfigError(f"{flag} needs a model", f"for example: cvexp models tinyvgg {flag} 1")
    listed = job.list_all(config, name) if all_of_them else job.list_registered(config)
    if as_json:
        print_json(report.list_document(listed))
    else:
        report.show_list(listed)
