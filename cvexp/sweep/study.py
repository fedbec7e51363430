"""A sweep as a study of Optuna's: what TPE tries next, and which settings matter. The only module that imports it.

No study is stored: one is made of the trials that there are whenever a point is asked for, so that what the tracking
store knows is all there is to know.
"""

from __future__ import annotations

import contextlib
import importlib.util
import math
import warnings
from typing import TYPE_CHECKING, Any, Literal

from cvexp.config.space import Choices
from cvexp.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.trial import FrozenTrial

    from cvexp.config.goals import Goal
    from cvexp.config.space import Axis
    from cvexp.config.sweep import Point
    from cvexp.sweep.trials import Tried

N_STARTUP = 10
"""Trials before TPE takes figures into account; Optuna's default."""

IMPORTANCE = "PED-ANOVA (Watanabe et al. 2023, IJCAI, arXiv:2304.10255; Optuna's)"
BEST_SHARE = 0.25
"""Of the trials, whose settings are compared with those of all."""

FEWEST = 8
"""Trials that say anything about which settings matter."""

_SEEDS = 2**32


def is_here() -> bool:
    """Whether Optuna is installed."""
    return importlib.util.find_spec("optuna") is not None


def check_here() -> None:
    """Refuse TPE where Optuna is not installed."""
    if not is_here():
        raise ConfigError(
            "sweep: `search: tpe` needs Optuna, which is not installed",
            "install it: pip install 'cvexp[sweep]'",
            "or search without it: search: random",
        )


def tpe_point(
    space: Mapping[str, Axis], number: int, *, seed: int, goals: Sequence[Goal], trials: Sequence[Tried]
) -> Point:
    """What the tree-structured Parzen estimator proposes after these trials (Bergstra et al. 2011; Watanabe 2023).

    Trials that have not ended count as bad ones (constant liar), so that several at once differ; failed ones count as
    the worst. The first `N_STARTUP` are random. Equal arguments give an equal point.
    """
    import optuna

    with _quiet():
        sampler = optuna.samplers.TPESampler(
            seed=(seed + number) % _SEEDS, n_startup_trials=N_STARTUP, constant_liar=True
        )
        study = _study(space, goals, trials, sampler)
        asked = study.ask({name: _distribution(axis) for name, axis in space.items()}).params
    return {name: _value(axis, asked[name]) for name, axis in space.items()}


def importances(space: Mapping[str, Axis], goal: Goal, trials: Sequence[Tried]) -> dict[str, float]:
    """How much each setting has to do with a trial being among the best, as shares of 1, the largest first.

    By PED-ANOVA: how far the settings of the best quarter are from those of all trials, one setting at a time. Pruned
    trials count with the figure they had. Empty for fewer than `FEWEST` trials, where Optuna is missing, and where it
    finds nothing.
    """
    ended = [one for one in trials if one.values and not math.isnan(one.values[0])]
    if len(ended) < FEWEST or not is_here():
        return {}
    import optuna

    with _quiet():
        study = optuna.create_study(direction=_direction(goal))
        study.add_trials([_complete(one, space) for one in ended])
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=BEST_SHARE)
        with contextlib.suppress(ValueError, RuntimeError, ZeroDivisionError):
            found = optuna.importance.get_param_importances(study, evaluator=evaluator, params=_varying(space, ended))
            if all(map(math.isfinite, found.values())):
                return dict(sorted(found.items(), key=lambda item: -item[1]))
    return {}


def _varying(space: Mapping[str, Axis], trials: Sequence[Tried]) -> list[str]:
    return [name for name in space if any(one.point[name] != trials[0].point[name] for one in trials)]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Neither Optuna's log nor its warnings about experimental parts reach the terminal."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
            yield
    finally:
        optuna.logging.set_verbosity(before)


def _direction(goal: Goal) -> Literal["maximize", "minimize"]:
    return "maximize" if goal.maximize else "minimize"


def _study(space: Mapping[str, Axis], goals: Sequence[Goal], trials: Sequence[Tried], sampler: Any) -> Study:
    import optuna

    study = optuna.create_study(directions=[_direction(goal) for goal in goals], sampler=sampler)
    study.add_trials([_frozen(one, space, n_goals=len(goals)) for one in trials])
    return study


def _frozen(one: Tried, space: Mapping[str, Axis], *, n_goals: int) -> FrozenTrial:
    """A trial as Optuna has it: pruned ones with their last figure, failed ones without any, which is the worst."""
    import optuna
    from optuna.trial import TrialState

    if one.state == "finished" and one.values and not any(map(math.isnan, one.values)):
        return _complete(one, space, n_goals=n_goals)
    state = TrialState.RUNNING if one.state == "waiting" else TrialState.PRUNED
    if n_goals > 1 and state is TrialState.PRUNED:
        state = TrialState.FAIL  # Optuna knows no pruned trials with several goals
    known = one.state == "pruned" and one.values and not math.isnan(one.values[0])
    return optuna.trial.create_trial(
        state=state,
        params=_params(one, space),
        distributions={name: _distribution(axis) for name, axis in space.items()},
        intermediate_values={max(1, one.epochs): one.values[0]} if known else {},
    )


def _complete(one: Tried, space: Mapping[str, Axis], *, n_goals: int = 1) -> FrozenTrial:
    import optuna

    return optuna.trial.create_trial(
        values=list(one.values[:n_goals]),
        params=_params(one, space),
        distributions={name: _distribution(axis) for name, axis in space.items()},
    )


def _params(one: Tried, space: Mapping[str, Axis]) -> dict[str, Any]:
    return {
        name: axis.options.index(one.point[name]) if isinstance(axis, Choices) else one.point[name]
        for name, axis in space.items()
    }


def _distribution(axis: Axis) -> BaseDistribution:
    """Categories by their position: Optuna takes no mappings, and warns of other kinds."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(axis, Choices):
        return CategoricalDistribution(range(axis.size))
    if axis.whole:
        return IntDistribution(int(axis.low), int(axis.high), log=axis.log, step=int(axis.step or 1))
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _value(axis: Axis, asked: Any) -> Any:
    return axis.options[asked] if isinstance(axis, Choices) else axis.rounded(asked)
