"""A sweep before its first trial: the file read and checked, and what each point of its space trains."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from cvexp.config.experiment import read_experiment
from cvexp.config.recipe import recipe
from cvexp.errors import ConfigError
from cvexp.jobs.trials import known_trials, tried
from cvexp.runs import SWEEP, SWEEP_FILE
from cvexp.settings import store_settings
from cvexp.sweep import study
from cvexp.sweep.search import Search
from cvexp.sweep.trials import Tried
from cvexp.training.session import complete

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.config.sweep import Point, Sweep
    from cvexp.jobs.trials import Known, Trial
    from cvexp.settings import StoreSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class SweepPlan:
    """A file's sweep, read and checked; `trusted` are the `package.module:factory` that it may name."""

    path: Path
    settings: StoreSettings
    sweep: Sweep
    trusted: tuple[str, ...] = ()

    @property
    def called(self) -> str:
        """How messages name the sweep."""
        return f"the sweep {self.sweep.digest} of {self.path}"

    @property
    def tags(self) -> dict[str, str]:
        """Of all its runs."""
        return {SWEEP: self.sweep.digest, SWEEP_FILE: self.path.name}

    def completed(self, config: RunConfig) -> tuple[RunConfig, str]:
        """`config` with its model's own arguments, and the key of its training: the recipe's digest and the seed."""
        trusted = config.model in self.trusted
        config, _, defaults = complete(config, allow_path=trusted, data_dir=self.settings.flags.data_dir)
        return config, f"{recipe(config.params(), defaults)}-{config.seed}"

    def key_of(self, point: Point) -> str | None:
        """The key of a point's training, or None for values that do not go together."""
        try:
            config = self.sweep.config(point)
        except ConfigError:
            return None
        return self.completed(config)[1]


def plan(
    path: Path,
    *,
    tracking_uri: str | None = None,
    experiment: str | None = None,
    data_dir: Path | None = None,
    trusted_factories: Sequence[str] = (),
) -> SweepPlan | None:
    """Read the sweep of the experiment file `path`, or None where it has none; the arguments are jobs.experiment's.

    Raises:
        InputError: The file, a model, an argument or the dataset in it cannot be used; or Optuna is missing.
    """
    read = read_experiment(path)
    if read.sweep is None:
        return None
    if read.sweep.search == "tpe":
        study.check_here()
    settings = store_settings(tracking_uri, experiment or read.experiment, data_dir)
    planned = SweepPlan(path=path, settings=settings, sweep=read.sweep, trusted=tuple(trusted_factories))
    space = read.sweep.space
    first = {name: axis.ends[0] for name, axis in space.items()}
    for model in space["model"].ends if "model" in space else (None,):
        planned.completed(read.sweep.config(first if model is None else {**first, "model": model}))
    return planned


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlook:
    """What is known of a sweep, and which points come next as far as that is decided already."""

    plan: SweepPlan
    known: Known
    points: tuple[Point, ...]


def outlook(planned: SweepPlan, *, most: int) -> Outlook:
    """What a sweep would go on with, at most so many points; none is trained, and TPE's depend on figures to come."""
    known = known_trials(planned.sweep, planned.settings)
    points: list[Point] = []
    if planned.sweep.search != "tpe":
        seen, search = as_tried(known.trials.values(), planned.sweep), Search(planned.sweep, planned.key_of)
        left = min(most, (planned.sweep.runs or len(seen) + most) - len(seen))
        while len(points) < left and (found := search.next(seen)) is not None:
            points.append(found.point)
            seen[found.key] = Tried(number=found.number, key=found.key, point=found.point, state="waiting")
    return Outlook(plan=planned, known=known, points=tuple(points))


def as_tried(trials: Iterable[Trial], sweep: Sweep) -> dict[str, Tried]:
    """The trials as the search sees them, by key."""
    return {one.key: tried(one, sweep, cost_of) for one in trials}


def cost_of(config: RunConfig, figure: str) -> float:
    """A figure of `config.sweep.COSTS` of a configuration's model."""
    args = tuple(sorted(config.model_args.items()))
    parameters, macs = _size(config.model, config.hidden_units, args, config.dataset, config.image_size)
    return float(parameters if figure == "parameters" else macs)


@lru_cache(maxsize=1024)
def _size(
    model: str, hidden_units: int, model_args: tuple[tuple[str, object], ...], dataset: str, image_size: int | None
) -> tuple[int, int]:
    """The parameters and the multiply-accumulates of a model for one of a dataset's images."""
    from cvexp.config import run_config
    from cvexp.jobs.models import describe

    settings = {"model": model, "hidden_units": hidden_units, "model_args": dict(model_args)}
    summary = describe(run_config({**settings, "dataset": dataset, "image_size": image_size})).summary
    return summary.size.parameters, summary.macs
