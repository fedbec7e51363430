"""`cvexp data`."""

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.flags import Given, with_flags
from cvexp.cli.output import present
from cvexp.config.data import DataConfig
from cvexp.config.option import validated
from cvexp.errors import ConfigError
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import typed_flags

_NAME = "The dataset to fetch, verify and describe; without it, all are listed."
_SAMPLES = "Draw a grid of random titled training images to this file; with --augment, as several epochs see them."


@with_flags(DataConfig, only=("val_split", "split_seed", "limit", "augment"))
def data(
    name: Annotated[str | None, typer.Argument(help=_NAME, show_default=False)] = None,
    *,
    samples: Annotated[Path | None, typer.Option(help=_SAMPLES)] = None,
    given: Given,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """List the datasets, or fetch, verify and describe one."""
    from cvexp.jobs import data as job
    from cvexp.report import data as report
    from cvexp.report.terminal import print_json, suggest

    folder, flags = resolve_data_dir(data_dir), typed_flags(data_dir=data_dir)
    if name is None:
        if samples or given.settings:
            what = "--samples, --val-split, --split-seed, --limit and --augment need a dataset"
            raise ConfigError(what, "for example: cvexp data mnist-5k")
        listed = job.list_all(folder)
        if as_json:
            print_json(report.list_document(listed, str(folder)))
        else:
            report.show_list(listed, str(folder))
            suggest(flags.command("data", "NAME"))
        return
    config = validated(DataConfig, {"dataset": name, **given.settings})
    if config.augment != "none" and samples is None:
        raise ConfigError("--augment changes what --samples draws", "for example: --augment trivial --samples g.png")
    description = job.describe(
        name,
        folder,
        val_split=config.val_split,
        split_seed=config.split_seed,
        limit=config.limit,
        samples=samples,
        augment=config.augment,
    )
    augmented = () if config.augment == "none" else ("--augment", config.augment)
    then = [flags.command("train", "linear", "--dataset", description.name, *augmented)]
    present(description, report, as_json=as_json, then=then)
