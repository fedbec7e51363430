"""Experiment files, which are lists of runs, and files with one run's settings."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cvexp.config.keys import keyed
from cvexp.config.option import settings_of
from cvexp.config.run import RunConfig, run_config, run_name
from cvexp.config.seeds import seeds_of
from cvexp.config.sweep import Sweep, read_sweep
from cvexp.errors import ConfigError
from cvexp.text import shown

MAX_PLANNED = 1000
SEEDS = "seeds"
"""The key for repeats: a number of seeds from `seed` on, or a list of them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """One configuration of an experiment, the run's name or None, and figures published elsewhere, by metric key."""

    config: RunConfig
    name: str | None = None
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """What an experiment file asks for.

    Attributes:
        experiment: The MLflow experiment; None leaves it to flags and environment.
        plot: Where the comparison is drawn, relative to the file's folder; None for nowhere.
        runs: In the order they are trained.
        sweep: What is searched after them, or None.
    """

    experiment: str | None
    plot: str | None
    runs: tuple[PlannedRun, ...]
    sweep: Sweep | None = None


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file.

    It is YAML with the keys `defaults` (settings of every run), `runs` (a list of settings, which may add `name` and
    `published`), `grid` (settings with lists of values, every combination of which is a run), `sweep` (see
    `config.sweep`), `experiment` and `plot`.
    `seeds` at the top, in `defaults` or in a run repeats the runs that it is for; the nearest one counts.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is wrong; the nearest valid key is named.
    """
    content = _yaml(path, "run", "see how one is written: experiments/learnpytorch.yaml")
    top = keyed(content, ("experiment", "plot", SEEDS, "defaults", "runs", "grid", "sweep"), str(path))
    defaults = {SEEDS: top.get(SEEDS)} | _settings(top.get("defaults"), f"{path}: defaults", SEEDS)
    asked = [(run, f"{path}: run {n}") for n, run in enumerate(_list(top.get("runs"), path), 1)]
    asked += [(run, f"{path}: grid") for run in _combinations(top.get("grid"), path, defaults)]
    repeats: list[list[PlannedRun]] = []
    for run, where in asked:
        repeats.append(_planned(run, defaults, where))
        _refuse_too_many(sum(map(len, repeats)), path)
    planned = _in_rounds(repeats)
    sweep = None if top.get("sweep") is None else _sweep(top["sweep"], defaults, path, alone=not planned)
    if not planned and sweep is None:
        raise ConfigError(f"{path} asks for no runs", "list some under `runs:` or `grid:`, or search with `sweep:`")
    experiment, plot = (_text(top.get(key), key, str(path)) for key in ("experiment", "plot"))
    return Experiment(experiment=experiment, plot=plot, runs=planned, sweep=sweep)


def _sweep(value: Any, defaults: Mapping[str, Any], path: Path, *, alone: bool) -> Sweep:
    """The file's sweep; seeds are for `runs` and `grid`, and refused where there are none."""
    where = f"{path}: sweep"
    settings = {name: setting for name, setting in defaults.items() if name != SEEDS}
    if alone and defaults[SEEDS] is not None:
        what = f"{where}: `{SEEDS}` is for `runs` and `grid`; a trial is trained once"
        raise ConfigError(what, "repeat the best points instead: confirm: {best: 3, seeds: 10}")
    return read_sweep(value, settings, where)


def read_settings(path: Path) -> dict[str, Any]:
    """Read a file with one run's settings: a YAML mapping from names of RunConfig's fields to values.

    Raises:
        ConfigError: The file cannot be read, or a key in it is unknown; the nearest valid one is named.
    """
    content = _yaml(path, "train", "print one: cvexp train MODEL --print-config")
    return _settings(content, str(path))


def _yaml(path: Path, verb: str, remedy: str) -> Any:
    """What a YAML file holds; nothing in it is executed."""
    import yaml

    if path.exists() and not path.is_file():
        raise ConfigError(f"not a file: {path}", remedy)
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", f"see: cvexp {verb} --help") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # values may be dates or numbers that do not exist
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())[:160]}", remedy) from error


def _refuse_too_many(n_runs: int, path: Path) -> None:
    if n_runs > MAX_PLANNED:
        raise ConfigError(f"{path} asks for {n_runs:,} runs or more", f"at most {MAX_PLANNED:,} fit one file")


def _text(value: Any, key: str, where: str) -> str | None:
    """`value`, if it is nothing or text that can name something."""
    if value is None or (isinstance(value, str) and value.isprintable() and value.strip()):
        return value
    raise ConfigError(f"{where}: `{key}` is text, not {shown(value)}", f"for example: {key}: first")


def _settings(value: Any, where: str, *more: str) -> dict[str, Any]:
    """`value` as a mapping of settings and `more` keys; None for none."""
    return {} if value is None else keyed(value, [*settings_of(RunConfig), *more], where)


def _list(value: Any, path: Path) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"{path}: `runs` is a list, not {shown(value)}", "start each run with a dash")
    return value or []


def _planned(run: Any, defaults: Mapping[str, Any], where: str) -> list[PlannedRun]:
    """The repeats of one run."""
    settings = {**defaults, **keyed(run, [*settings_of(RunConfig), "name", "published", SEEDS], where)}
    name, published = settings.pop("name", None), settings.pop("published", None) or {}
    seeds = settings.pop(SEEDS)
    if not (isinstance(published, dict) and all(isinstance(value, int | float) for value in published.values())):
        what = f"{where}: `published` maps metric keys to numbers, not {shown(published)}"
        raise ConfigError(what, "for example: published: {test/accuracy: 0.83}")
    try:
        once = PlannedRun(config=run_config(settings), name=run_name(_text(name, "name", where)), published=published)
        return [once] if seeds is None else repeated(once, seeds, where="seeds:")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.what}", *error.hints) from None


def repeated(once: PlannedRun, seeds: object, *, where: str) -> list[PlannedRun]:
    """The run once for each of its seeds (see `seeds_of`), which is also the end of its name if it has one."""
    chosen = seeds_of(seeds, first=once.config.seed, where=where)
    names = [run_name(once.name and f"{once.name}-{seed}") for seed in chosen]
    configs = [replace(once.config, seed=seed) for seed in chosen]
    return [replace(once, config=config, name=name) for config, name in zip(configs, names, strict=True)]


def _in_rounds(repeats: Sequence[Sequence[PlannedRun]]) -> tuple[PlannedRun, ...]:
    """The first repeat of every run, then the second ones in reverse order, and so on by turns.

    So a machine that becomes slower or faster meanwhile does so for all of them alike.
    """
    rounds = [[one[n] for one in repeats if n < len(one)] for n in range(max(map(len, repeats), default=0))]
    return tuple(itertools.chain(*(one[:: -1 if n % 2 else 1] for n, one in enumerate(rounds))))


def _combinations(grid: Any, path: Path, defaults: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Every combination of the values that a grid lists."""
    axes = _settings(grid, f"{path}: grid")
    if "seed" in axes and defaults[SEEDS] is not None:
        raise ConfigError(f"{path}: grid: `seed` is listed, and `{SEEDS}` is given too", "leave one of them out")
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            what = f"{path}: grid: `{name}` is a list of values, not {shown(values)}"
            raise ConfigError(what, f"for example: {name}: [1, 2]")
    _refuse_too_many(math.prod(map(len, axes.values())), path)
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())] if axes else []
