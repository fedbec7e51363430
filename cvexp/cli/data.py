"""`cvexp data`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.options import DEFAULTS
from cvexp.cli.output import present
from cvexp.config import run_config
from cvexp.errors import ConfigError
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import typed_flags


def data(
    name: Annotated[
        str | None,
        typer.Argument(
            help="The dataset to fetch, verify and describe; without it, all are listed.", show_default=False
        ),
    ] = None,
    *,
    samples: Annotated[
        Path | None,
        typer.Option(help="Draw a grid of random titled training images to this file.", show_default=False),
    ] = None,
    val_split: options.ValSplit = 0.0,
    split_seed: options.SplitSeed = DEFAULTS.split_seed,
    limit: options.Limit = None,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """List the datasets, or fetch, verify and describe one."""
    from cvexp.jobs import data as job
    from cvexp.report import data as report
    from cvexp.report.terminal import print_json, suggest

    folder, flags = resolve_data_dir(data_dir), typed_flags(data_dir=data_dir)
    if name is None:
        if samples or val_split or limit:
            raise ConfigError("--samples, --val-split and --limit need a dataset", "for example: cvexp data mnist-5k")
        listed = job.list_all(folder)
        if as_json:
            print_json(report.list_document(listed, str(folder)))
        else:
            report.show_list(listed, str(folder))
            suggest(flags.command("data", "NAME"))
        return
    checked = run_config(
        {"model": "-", "dataset": name, "val_split": val_split, "split_seed": split_seed, "limit": limit}
    )
    description = job.describe(
        name,
        folder,
        val_split=checked.val_split,
        split_seed=checked.split_seed,
        limit=checked.limit,
        samples=samples,
    )
    then = [flags.command("train", "linear", "--dataset", description.name)]
    present(description, report, as_json=as_json, then=then)
