"""`cvexp train`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvexp.cli import options
from cvexp.cli.devices import on_devices, train_on_devices
from cvexp.cli.flags import Given, with_flags
from cvexp.cli.output import present
from cvexp.cli.training import check_flags, train_one, train_repeats
from cvexp.config import RunConfig
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.loop import LoopConfig
from cvexp.config.option import validated
from cvexp.config.rehearsal import Rehearsal
from cvexp.config.run import run_name
from cvexp.config.sources import Settings
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.settings import store_settings

if TYPE_CHECKING:
    from cvexp.jobs.repeats import Plan
    from cvexp.results import TrainResult

EXAMPLES = """Examples:
cvexp train tinyvgg --dataset mnist-5k --optimizer adam
cvexp train --resume @last"""

_CONFIG = "Settings in YAML (see --print-config)."
_PRINT = "Print all settings, train nothing."
_RESUME = "Go on with an interrupted run; with a larger --epochs, with a finished one that has checkpoints (--keep)."
_NAME = "The run's name."
_SEEDS = (
    "Train once for each of so many seeds from --seed on, or of a list: 5, or 1,2,3. Those that are trained already "
    "are not trained again."
)
_WORKERS = (
    "With --seeds: train so many of them at once, each in a process with its share of the CPUs and a GPU of its own."
)
_BENCH = "Measure latency too, as cvexp bench."


@with_flags(RunConfig, CheckpointPolicy, Rehearsal, examples=EXAMPLES)
def train(
    ctx: typer.Context,
    *,
    given: Given,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help=_CONFIG)] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help=_PRINT)] = False,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help=_RESUME)] = None,
    name: Annotated[str | None, typer.Option(help=_NAME)] = None,
    seeds: Annotated[str | None, typer.Option(metavar="N|LIST", help=_SEEDS, rich_help_panel=LoopConfig.PANEL)] = None,
    workers: Annotated[int | None, typer.Option(metavar="N", help=_WORKERS, rich_help_panel=LoopConfig.PANEL)] = None,
    bench: Annotated[bool, typer.Option("--bench", help=_BENCH)] = False,
    data_dir: options.DataDir = None,
    tracking_uri: options.TrackingUri = None,
    experiment: options.Experiment = None,
    as_json: options.Json = False,
) -> None:
    """Train a model and track the run in MLflow.

    Without a validation part the figures after each epoch are the test split's, for watching only: do not
    choose by them. With --val-split they are the validation part's, and the test split is measured once, at
    the end.

    Ctrl-C keeps a checkpoint and says how to go on; a second one leaves at once.
    """
    check_flags(given, seeds)
    typed, policy = given.of(RunConfig), validated(CheckpointPolicy, given.of(CheckpointPolicy))
    if print_config:
        from cvexp.jobs.train import explain
        from cvexp.report import settings as report_settings

        present(explain(Settings(config, typed)), report_settings, as_json=as_json)
        return
    store = store_settings(tracking_uri, experiment, data_dir)
    where = {"store": store, "data_dir": resolve_data_dir(data_dir), "arguments": ctx.obj["arguments"]}
    train_on_devices(Settings(config, typed).config, given, resume=resume, **where)
    rehearsal = validated(Rehearsal, given.of(Rehearsal))
    if rehearsal.is_asked:
        from cvexp.cli.rehearsal import rehearse

        asked = Settings(config, typed).config()
        rehearse(rehearsal, asked, store, data_dir=resolve_data_dir(data_dir), as_json=as_json)
        return
    planned: Plan | None = None
    start: Callable[..., TrainResult]
    if resume is not None:
        from cvexp.jobs.repeats import plan_resumed
        from cvexp.jobs.resume import run as run_on

        planned = plan_resumed(resume, store, **typed)
        start = partial(run_on, resume, store, **typed)
    else:
        asked = on_devices(Settings(config, typed).config())
        from cvexp.jobs.train import run

        start = partial(run, asked, store, name=run_name(name))
        if seeds is not None:
            from cvexp.jobs.repeats import plan

            planned = plan(asked, seeds, store, name=name, n_workers=workers)
    command, started = ["cvexp", *ctx.obj["arguments"]], ctx.obj["started"]
    keywords = {"data_dir": resolve_data_dir(data_dir), "policy": policy, "command": command, "started": started}
    if planned is not None:
        train_repeats(planned, keywords, n_workers=workers, bench=bench, as_json=as_json)
    else:
        train_one(start, store, keywords, bench=bench, as_json=as_json)
