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

_NAME = (
    "A dataset to fetch, verify and describe, by name or path (folder, csv:FILE, npz:FILE, hf:FOLDER); without it, all "
)
_NAME += "are listed."
_SAMPLES = "Draw a grid of random titled training images to this file; with --augment, as several epochs see them."

_CLEAR = "Remove the decoded images of all datasets, which are decoded again when needed; those in use stay."


@with_flags(DataConfig, only=("image_size", "resize", "val_split", "split_seed", "limit", "augment"))
def data(
    name: Annotated[str | None, typer.Argument(help=_NAME, show_default=False)] = None,
    *,
    samples: Annotated[Path | None, typer.Option(help=_SAMPLES)] = None,
    clear_cache: Annotated[bool, typer.Option("--clear-cache", help=_CLEAR)] = False,
    given: Given,
    data_dir: options.DataDir = None,
    as_json: options.Json = False,
) -> None:
    """List the datasets, or fetch, verify and describe one."""
    from cvexp.jobs import data as job
    from cvexp.report import data as report
    from cvexp.report.terminal import print_json, suggest

    if clear_cache:
        if name or samples or given.settings:
            raise ConfigError("--clear-cache takes neither a dataset nor other options", "cvexp data --clear-cache")
        present(job.clear_cache(), report.Cache, as_json=as_json)
        return
    folder, flags = resolve_data_dir(data_dir), typed_flags(data_dir=data_dir)
    if name is None:
        if samples or given.settings:
            flags_given = ", ".join([*(["--samples"] if samples else []), *given.flags.values()])
            raise ConfigError(f"a dataset is missing: {flags_given}", "for example: cvexp data mnist-5k")
        listed, decoded = job.list_all(folder), job.decoded()
        if as_json:
            print_json(report.list_document(listed, str(folder), decoded))
        else:
            report.show_list(listed, str(folder), decoded)
            suggest(flags.command("data", "NAME"))
        return
    config = validated(DataConfig, {"dataset": name, **given.settings})
    if config.augment != "none" and samples is None:
        raise ConfigError("--augment changes what --samples draws", "for example: --augment trivial --samples g.png")
    description = job.describe(config, folder, samples=samples)
    words = [word for one, value in given.settings.items() for word in (given.flags[one], str(value))]
    then = [flags.command("train", "linear", "--dataset", config.dataset, *words)]
    present(description, report, as_json=as_json, then=then)
