"""`cvexp train`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from cvexp.cli import options
from cvexp.cli.options import DEFAULTS
from cvexp.cli.output import present
from cvexp.config import DEFAULT_LR, OPTIMIZERS, STEPS, parse_model_args, run_config
from cvexp.settings import data_dir as resolve_data_dir

_RATES = ", ".join(f"{name} {DEFAULT_LR[name]:g}" for name in OPTIMIZERS)


def train(
    ctx: typer.Context,
    model: options.Model,
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
    """
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
        }
    )
    from cvexp.jobs.train import run
    from cvexp.report import train as report

    with report.TrainConsole() as observer:
        result = run(
            config,
            options.store(tracking_uri, experiment),
            data_dir=resolve_data_dir(data_dir),
            name=name,
            command=["cvexp", *ctx.obj["arguments"]],
            started=ctx.obj.get("started", time.monotonic()),
            observer=observer,
        )
    present(result, report, as_json=as_json)
