"""`cvexp train`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cvexp.cli import options
from cvexp.cli.flags import Given, with_flags
from cvexp.cli.output import present
from cvexp.config import RunConfig
from cvexp.config.checkpoint import CheckpointPolicy
from cvexp.config.option import validated
from cvexp.config.run import run_name
from cvexp.config.sources import Settings
from cvexp.errors import ConfigError, DeliveryError
from cvexp.runs import EFFECTIVE, shortest_selector
from cvexp.settings import StoreSettings, store_settings
from cvexp.settings import data_dir as resolve_data_dir

if TYPE_CHECKING:
    from cvexp.results import TrainResult

EXAMPLES = """Examples:
cvexp train tinyvgg --dataset mnist-5k --optimizer adam
cvexp train --resume @last"""

_CONFIG = "A YAML mapping of settings, as --print-config prints it; flags beat it."
_PRINT = "Print every setting in effect and where it comes from, and train nothing."
_RESUME = (
    "Resume an interrupted run where it stopped; MODEL and its settings are then the run's. "
    "A larger --epochs trains a finished run on, if it was trained with --keep."
)
_NAME = "The run's name. Without it, the model's with the first digits of the run's id."


@with_flags(RunConfig, CheckpointPolicy, examples=EXAMPLES)
def train(
    ctx: typer.Context,
    *,
    given: Given,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help=_CONFIG)] = None,
    print_config: Annotated[bool, typer.Option("--print-config", help=_PRINT)] = False,
    resume: Annotated[str | None, typer.Option(metavar="RUN", help=_RESUME)] = None,
    name: Annotated[str | None, typer.Option(help=_NAME)] = None,
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
    typed, policy = given.of(RunConfig), validated(CheckpointPolicy, given.of(CheckpointPolicy))
    if resume is not None:
        _refuse_settings(given)
    elif print_config:
        from cvexp.jobs.train import explain
        from cvexp.report import explain as report_settings

        present(explain(Settings(config, typed)), report_settings, as_json=as_json)
        return
    store = store_settings(tracking_uri, experiment, data_dir)
    start: Callable[..., TrainResult]
    if resume is None:
        asked = Settings(config, typed).config()
        from cvexp.jobs.train import run

        start = partial(run, asked, store, name=run_name(name))
    else:
        from cvexp.jobs.resume import run as run_on

        start = partial(run_on, resume, store, **typed)
    from cvexp.report.train import TrainConsole

    with TrainConsole() as observer:
        result = start(
            data_dir=resolve_data_dir(data_dir),
            policy=policy,
            command=["cvexp", *ctx.obj["arguments"]],
            started=ctx.obj["started"],
            observer=observer,
        )
    _finish(result, store, as_json=as_json)


ALLOWED_WITH_RESUME = {
    *("model", *EFFECTIVE, *CheckpointPolicy.__dataclass_fields__),
    *("resume", "data_dir", "tracking_uri", "experiment", "as_json"),
}


def _refuse_settings(given: Given) -> None:
    """A resumed run keeps its settings; one that is typed again would be ignored, or make it another run."""
    for name, flag in given.flags.items():
        if name not in ALLOWED_WITH_RESUME:
            raise ConfigError(f"{flag} cannot be given with --resume", "a resumed run keeps its settings")


def _finish(result: TrainResult, store: StoreSettings, *, as_json: bool) -> None:
    """Print the result; where the store does not know all of it, say so and leave with its exit code."""
    from cvexp.report import train as report

    # A factory is code: whoever typed it has to name it again.
    factory = ("--model", result.config.model) if ":" in result.config.model else ()
    evaluate = store.command("evaluate", shortest_selector(result.run_id, result.run_name), *factory)
    then = (evaluate, store.command("compare"), store.command("ui"))
    present(result, report, as_json=as_json, then=then)
    if result.undelivered:
        raise DeliveryError(
            f"{result.undelivered} records of run {result.run_id[:12]} wait to be delivered: {result.trouble}",
            f"nothing is lost; deliver them: {store.command('sync')}",
        )
