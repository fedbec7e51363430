"""The Python API: the verbs as functions, with typed results and pandas frames."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from cvexp import settings
from cvexp.config import RunConfig, run_config
from cvexp.config.run import run_name

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd
    from torch import nn

    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings
    from cvexp.training.observer import TrainObserver

P = ParamSpec("P")
R = TypeVar("R")


def _store(tracking_uri: str | None, experiment: str | None) -> StoreSettings:
    from cvexp.tracking.active import active_settings

    return active_settings(tracking_uri, experiment)


@dataclass(frozen=True, kw_only=True)
class TrainCall(RunConfig):
    """The keyword arguments of `train`: RunConfig's fields and these; `model` may be given by position."""

    model: str = field(kw_only=False)
    data_dir: str | Path | None = None
    tracking_uri: str | None = None
    experiment: str | None = None
    name: str | None = None
    observer: TrainObserver | None = None


def _called_as(call: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function the parameters of `call`, for type checkers and for `inspect.signature`."""

    def decorate(function: Callable[..., R]) -> Callable[P, R]:
        vars(function)["__signature__"] = inspect.signature(call).replace(return_annotation="TrainResult")
        return function

    return decorate


@_called_as(TrainCall)
def train(
    model: str,
    *,
    data_dir: str | Path | None = None,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    name: str | None = None,
    observer: TrainObserver | None = None,
    **config: Any,
) -> TrainResult:
    """Train a model and track the run, as `cvexp train` does.

    A process trains one model at a time, since torch's random generators are the whole process's: a call from another
    thread waits until the training under way has ended. To train at the same time, start a process for each. What
    other threads draw from the generators of torch, `random` or numpy meanwhile still changes the result.

    Args:
        model: A registered name, or `package.module:factory`.
        data_dir: Where datasets are looked for first; by default as on the command line.
        tracking_uri: The MLflow store; by default the one that MLflow was told, then as on the command line.
        experiment: The MLflow experiment; by default likewise.
        name: The run's name.
        observer: Told how training goes; by default nothing is printed.
        **config: Fields of RunConfig, such as `epochs=3` or `model_args={"output_relu": False}`.

    Raises:
        cvexp.errors.InputError: Something cannot be used as given; nothing was trained then.
    """
    from cvexp.jobs.train import run

    return run(
        run_config({"model": model, **config}),
        _store(tracking_uri, experiment),
        data_dir=settings.data_dir(None if data_dir is None else Path(data_dir)),
        name=run_name(name),
        observer=observer,
    )


def load_model(
    run: str | Path,
    *,
    device: str = "cpu",
    tracking_uri: str | None = None,
    experiment: str | None = None,
    trusted_factory: str | None = None,
) -> nn.Module:
    """A trained model with its weights, in evaluation mode.

    It takes float32 (N, C, H, W) in [0, 1], which are uint8 pixels divided by 255, and gives logits (N, K).

    Args:
        run: A run by id, prefix, name, `@last` or `@best`, as on the command line; or the path of an exported file.
        device: Where to put it; see `cvexp.device.choose`.
        tracking_uri: The MLflow store; by default the one that MLflow was told, then as on the command line.
        experiment: The MLflow experiment; by default likewise.
        trusted_factory: `package.module:factory` of a model that is not in the registry.

    Raises:
        cvexp.errors.InputError: There is no such run or file, or its weights are damaged or do not fit.
    """
    from cvexp.device import choose
    from cvexp.jobs.source import open_trained

    trained = open_trained(str(run), _store(tracking_uri, experiment), trusted_factory=trusted_factory)
    return trained.model.to(choose(device).torch).eval()


def compare(
    *runs: str,
    sort: str = "accuracy",
    last: int | None = None,
    where: str | None = None,
    tracking_uri: str | None = None,
    experiment: str | None = None,
) -> pd.DataFrame:
    """Runs side by side, the best of each test set first, as `cvexp compare` does.

    Args:
        *runs: Selectors; none at all means every run of the experiment.
        sort: `accuracy`, `loss`, `val-accuracy`, `seconds`, `speed`, `parameters`, `started`, or a metric's key.
        last: Only the most recently started so many.
        where: A filter in MLflow's language.
        tracking_uri: The MLflow store; by default the one that MLflow was told, then as on the command line.
        experiment: The MLflow experiment; by default likewise.

    Returns:
        A row a run, indexed by run id. Columns `name`, `status`, `started_at`, `conditions` (times may be ranked
        within one letter only), `test_set` (accuracies likewise), then every setting as `params.…` and every metric
        as `metrics.…`, as in `mlflow.search_runs`; a run that was trained on for more epochs has their number.

    Raises:
        cvexp.errors.InputError: A selector, the filter, the order or the store cannot be used.
    """
    import pandas as pd

    from cvexp.jobs.compare import run

    compared = run(list(runs), _store(tracking_uri, experiment), sort=sort, last=last, where=where)
    rows = [
        {
            "run_id": one.run_id,
            "name": one.name,
            "status": one.status,
            "started_at": one.started_at,
            "conditions": group,
            "test_set": test_set,
            **{f"params.{key}": value for key, value in one.settings.items()},
            **{f"metrics.{key}": value for key, value in one.metrics.items()},
        }
        for one, test_set, group in zip(compared.runs, compared.test_sets, compared.groups, strict=True)
    ]
    return pd.DataFrame(rows, columns=None if rows else ["run_id", "name"]).set_index("run_id")
