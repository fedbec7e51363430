"""`cvexp train`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cvexp.cli import options
from cvexp.cli.options import DEFAULTS
from cvexp.cli.output import present
from cvexp.config import DEFAULT_LR, OPTIMIZERS, STEPS, parse_model_args, run_config, run_name
from cvexp.errors import ConfigError, DeliveryError
from cvexp.runs import shortest_selector
from cvexp.settings import data_dir as resolve_data_dir
from cvexp.training.checkpoints import CheckpointPolicy

if TYPE_CHECKING:
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings

CHECKPOINTS = CheckpointPolicy()

_RATES = ", ".join(f"{name} {DEFAULT_LR[name]:g}" for name in OPTIMIZERS)


def train(
    ctx: typer.Context,
    model: options.Model = None,
    *,
    dataset: options.Dataset = DEFAULTS.dataset,
    epochs: Annotated[int, typer.Option(help="Passes over the training images.")] = DEFAULTS.epochs,
    batch_size: Annotated[int, typer.Option(help="Images per optimiser step.")] = DEFAULTS.batch_size,
    optimizer: Annotated[str, typer.Option(help=f"One of {', '.join(OPTIMIZERS)}.")] = DEFAULTS.optimizer,
    lr: Annotated[float | None, typer.Option(help=f"Learning rate. Without it: {_RATES}.", show_default=False)] = None,
    seed: Annotated[int, typer.Option(help="Seeds the initial weights and the order of the batches.")] = DEFAULTS.seed,
    device: options.Device = DEFAULTS.device,
    step: Annotated[
        str,
        typer.Option(help=f"How steps are run: {', '.join(STEPS)}; auto takes the fastest that gives the same."),
    ] = DEFAULTS.step,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads. Without it, 1 for small models and all cores for others.", show_default=False),
    ] = None,
    log_every: Annotated[
        int, typer.Option(help="Log the loss of every so many steps too, as step/train_loss; 0 for none.")
    ] = DEFAULTS.log_every,
    hidden_units: options.HiddenUnits = DEFAULTS.hidden_units,
    model_arg: options.ModelArgs = None,
    val_split: options.ValSplit = DEFAULTS.val_split,
    split_seed: options.SplitSeed = DEFAULTS.split_seed,
    limit: options.Limit = None,
    allow_nan: Annotated[
        bool, typer.Option("--allow-nan", help="Go on when the loss is no longer a finite number.")
    ] = DEFAULTS.allow_nan,
    resume: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Go on with an interrupted run where it stopped; MODEL and its settings are then the run's. "
            "A larger --epochs trains a finished run on, if it was trained with --keep.",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        int, typer.Option(help="Epochs from one checkpoint to the next; 0 for none.")
    ] = CHECKPOINTS.every,
    checkpoint_minutes: Annotated[
        float, typer.Option(help="Minutes within an epoch from one checkpoint to the next; 0 for none.")
    ] = CHECKPOINTS.minutes,
    keep: Annotated[
        int | None,
        typer.Option(
            help="Checkpoints that stay, also after the run. Without it, 2 while training and none after it.",
            show_default=False,
        ),
    ] = CHECKPOINTS.keep,
    name: Annotated[
        str | None,
        typer.Option(
            help="The run's name. Without it, the model's with the first digits of the run's id.",
            show_default=False,
        ),
    ] = None,
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
    checkpoints = CheckpointPolicy(every=checkpoint_every, minutes=checkpoint_minutes, keep=keep)
    surroundings: dict[str, Any] = {
        "data_dir": resolve_data_dir(data_dir),
        "checkpoints": checkpoints,
        "command": ["cvexp", *ctx.obj["arguments"]],
        "started": ctx.obj.get("started", time.monotonic()),
    }
    store = options.store(tracking_uri, experiment, data_dir)
    if resume is not None:
        _refuse_settings(ctx)
        from cvexp.jobs.resume import run as go_on
        from cvexp.report import train as report

        more = epochs if _given(ctx, "epochs") else None
        with report.TrainConsole() as observer:
            result = go_on(
                resume,
                store,
                model=model,
                epochs=more,
                allow_nan=True if allow_nan else None,
                observer=observer,
                **surroundings,
            )
        _finish(result, store, as_json=as_json)
        return
    if model is None:
        raise ConfigError("MODEL is missing", "for example: cvexp train tinyvgg", "see which there are: cvexp models")
    config = run_config(
        {
            "model": model,
            "model_args": parse_model_args(model_arg or []),
            "hidden_units": hidden_units,
            "dataset": dataset,
            "epochs": epochs,
            "batch_size": batch_size,
            "optimizer": optimizer,
            "lr": lr,
            "seed": seed,
            "val_split": val_split,
            "split_seed": split_seed,
            "limit": limit,
            "device": device,
            "step": step,
            "threads": threads,
            "log_every": log_every,
            "allow_nan": allow_nan,
        }
    )
    from cvexp.jobs.train import run
    from cvexp.report import train as report

    with report.TrainConsole() as observer:
        result = run(config, store, name=run_name(name), observer=observer, **surroundings)
    _finish(result, store, as_json=as_json)


ALLOWED_WITH_RESUME = {
    *("model", "resume", "epochs", "allow_nan", "checkpoint_every", "checkpoint_minutes", "keep"),
    *("data_dir", "tracking_uri", "experiment", "as_json"),
}


def _given(ctx: typer.Context, name: str) -> bool:
    """Whether the user typed the option, rather than leaving it at its default."""
    source = ctx.get_parameter_source(name)
    return source is not None and source.name != "DEFAULT"


def _refuse_settings(ctx: typer.Context) -> None:
    """A resumed run keeps its settings; one that is typed again would be ignored, or make it another run."""
    for name in ctx.params:
        if name not in ALLOWED_WITH_RESUME and _given(ctx, name):
            flag = f"--{name.replace('_', '-')}"
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
