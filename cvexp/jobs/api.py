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
    from collections.abc import Callable, Sequence

    import pandas as pd
    from torch import nn

    from cvexp.comparison.groups import Group
    from cvexp.comparison.tables import Table
    from cvexp.events import Observer
    from cvexp.jobs.repeats import Repeats
    from cvexp.results import TrainResult
    from cvexp.settings import StoreSettings

P = ParamSpec("P")
R = TypeVar("R")


def _store(tracking_uri: str | None, experiment: str | None) -> StoreSettings:
    from cvexp.tracking.store import active_settings

    return active_settings(tracking_uri, experiment)


@dataclass(frozen=True, kw_only=True)
class TrainCall(RunConfig):
    """The keyword arguments of `train`: RunConfig's fields and these; `model` may be given by position."""

    model: str = field(kw_only=False)
    data_dir: str | Path | None = None
    tracking_uri: str | None = None
    experiment: str | None = None
    name: str | None = None
    observer: Observer | None = None


@dataclass(frozen=True, kw_only=True)
class SeedsCall(TrainCall):
    """The keyword arguments of `train_seeds`."""

    seeds: int | Sequence[int] = 5


def _called_as(call: Callable[P, object]) -> Callable[[Callable[..., R]], Callable[P, R]]:
    """Give a function the parameters of `call`, for type checkers and for `inspect.signature`."""

    def decorate(function: Callable[..., R]) -> Callable[P, R]:
        returned = inspect.signature(function).return_annotation
        vars(function)["__signature__"] = inspect.signature(call).replace(return_annotation=returned)
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
    observer: Observer | None = None,
    **config: Any,
) -> TrainResult:
    """Train a model and track the run, as `cvexp train` does.

    A process trains one model at a time, since torch's random generators are the whole process's: a call from another
    thread waits. To train at the same time, start a process for each. What other threads draw from the generators of
    torch, `random` or numpy meanwhile still changes the result.

    Args:
        model: A registered name, or `package.module:factory`.
        data_dir: Where datasets are looked for first; by default as on the command line.
        tracking_uri: The MLflow store; by default the one that MLflow was told, then as on the command line.
        experiment: The MLflow experiment; by default likewise.
        name: The run's name.
        observer: Called with each event of the training (see `cvexp.events`). The answer `cvexp.events.STOP` (True)
            makes the epoch under way the last one (early stopping); the run ends as FINISHED, with its test figures.
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


@_called_as(SeedsCall)
def train_seeds(
    model: str,
    *,
    seeds: int | Sequence[int] = 5,
    data_dir: str | Path | None = None,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    name: str | None = None,
    observer: Observer | None = None,
    **config: Any,
) -> Repeats:
    """Train a model once for each of several seeds, as `cvexp train --seeds` does, and say how far its figures vary.

    Seeds that a finished run of the experiment has with the same settings are not trained again; one that was
    interrupted here goes on.

    `seeds` is how many, from `seed` on (42 by default), or a list of them. The runs are called `name`, each with its
    seed behind it; `observer` is called with the events of one training after the other. The other arguments are as
    for `train`.

    Returns:
        The runs in the order of their seeds, and in `summary`, for each metric key, the mean over them with its 95% t
        interval; see `cvexp.jobs.repeats.Repeats`.

    Raises:
        cvexp.errors.InputError: Something cannot be used as given.
    """
    from cvexp.jobs.repeats import plan, run

    chosen = seeds if isinstance(seeds, int) else list(seeds)
    planned = plan(run_config({"model": model, **config}), chosen, _store(tracking_uri, experiment), name=name)
    data = settings.data_dir(None if data_dir is None else Path(data_dir))
    return run(planned, data_dir=data, observer=observer)


def load_model(
    run: str | Path,
    *,
    device: str = "cpu",
    tracking_uri: str | None = None,
    experiment: str | None = None,
    trusted_factory: str | None = None,
) -> nn.Module:
    """A trained model with its weights, in evaluation mode, on `device` (see `cvexp.device.choose`).

    It maps float32 (N, C, H, W), which are uint8 pixels divided by 255 and, where it was trained so, standardized, to
    logits (N, K). `run` is a run by id, prefix, name, `@last`, `@best` or `models:/NAME@ALIAS`, as on the command
    line, or the path of an exported file. `trusted_factory` is the `package.module:factory` of a model that is not in
    the registry; `tracking_uri` and `experiment` are as for `train`.

    Raises:
        cvexp.errors.InputError: There is no such run or file, or its weights are damaged or do not fit.
    """
    from cvexp.jobs.source import load_trained

    store = _store(tracking_uri, experiment)
    return load_trained(str(run), store, device_name=device, trusted_factory=trusted_factory).model


def compare(
    *runs: str,
    by: str = "accuracy",
    sort: str | None = None,
    last: int | None = None,
    where: str | None = None,
    repeats: bool = False,
    tracking_uri: str | None = None,
    experiment: str | None = None,
) -> pd.DataFrame:
    """Runs side by side, the best of each test set first, as `cvexp compare` does; of all runs where none is named.

    `runs` are selectors as for `load_model`; `by` is `accuracy` or `balanced-accuracy`, which front and verdicts are
    about; `sort`, without which it is the same, is `accuracy`, `loss`, `val-accuracy`, `seconds`, `speed`,
    `parameters`, `started`, or a metric's key; `last` leaves only the most recently started so many, and `where` is a
    filter in MLflow's language. With `repeats`, runs that differ in nothing but their seed are one row.
    `tracking_uri` and `experiment` are as for `train`.

    Returns:
        A row a run, indexed by run id. Columns `name`, `status`, `started_at`, `conditions` (times may be ranked
        within one letter only), `test_set` (accuracies likewise), then every setting as `params.…` and every metric
        as `metrics.…`, as in `mlflow.search_runs`; a run that was trained on for more epochs has their number.

        With `repeats`, a row a group, the first 50 of each test set, indexed by `group`, a name: `recipe`, `model`,
        `n`, `seeds`, `test_set`, `conditions`, `on_front`, `dominated_by`, then for every metric its mean over seeds
        as `metrics.…`, and the ends of its 95% interval as `low.…` and `high.…`.

    Raises:
        cvexp.errors.InputError: A selector, the filter, the order or the store cannot be used.
    """
    import pandas as pd

    from cvexp.comparison.request import Request
    from cvexp.jobs.compare import run

    request = Request(by=by, sort=sort, last=last, where=where)
    compared = run(list(runs), _store(tracking_uri, experiment), request=request)
    if repeats:
        rows = [_group_row(group, table) for table in compared.tables for group in table.groups]
        return pd.DataFrame(rows, columns=None if rows else ["group", "n"]).set_index("group")
    rows = [
        {
            "run_id": one.run_id,
            "name": one.name,
            "status": one.status,
            "started_at": one.started_at,
            "conditions": compared.analysis.letters[one.run_id],
            "test_set": compared.analysis.labels[one.test_set],
            **{f"params.{key}": value for key, value in one.settings.items()},
            **{f"metrics.{key}": value for key, value in one.metrics.items()},
        }
        for one in compared.runs
    ]
    return pd.DataFrame(rows, columns=None if rows else ["run_id", "name"]).set_index("run_id")


def _group_row(group: Group, table: Table) -> dict[str, Any]:
    standing = table.front.of(group.label)
    figures = {key: found for key in group.keys if (found := group.figure(key)) is not None}
    return {
        "group": group.label,
        "recipe": group.recipe,
        "model": group.model,
        "n": group.n,
        "seeds": group.seeds,
        "test_set": table.test_set,
        "conditions": group.conditions,
        "on_front": standing.on_front,
        "dominated_by": standing.dominated_by,
        **{f"metrics.{key}": found.mean for key, found in figures.items()},
        **{f"low.{key}": found.low for key, found in figures.items()},
        **{f"high.{key}": found.high for key, found in figures.items()},
    }


def history(run: str, *, tracking_uri: str | None = None, experiment: str | None = None) -> pd.DataFrame:
    """The metrics of a run after each of its epochs, read back from the store, or from its journal if that is down.

    `run` is a selector as for `load_model`; `tracking_uri` and `experiment` are as for `train`.

    Returns:
        float64, a row an epoch, indexed by `epoch` from 1; a column a metric that is logged per epoch, by its key,
        such as `train/loss`. Figures of the whole run and losses of single steps are left out.

    Raises:
        cvexp.errors.InputError: There is no such run, or the store cannot be read.
    """
    import pandas as pd

    from cvexp.jobs.source import find_run
    from cvexp.results import Metric
    from cvexp.tracking.histories import history as read

    found, store = find_run(run, _store(tracking_uri, experiment))
    epochs = {
        key: {point.step: point.value for point in points if point.step > 0}
        for key, points in read(store, found).items()
        if key != Metric.STEP_LOSS
    }
    return pd.DataFrame({key: values for key, values in epochs.items() if values}).sort_index().rename_axis("epoch")
