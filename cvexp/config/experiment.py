"""Experiment files, which are lists of runs, and files with one run's settings."""

import itertools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvexp.config.option import settings_of
from cvexp.config.run import RunConfig, run_config, run_name
from cvexp.errors import ConfigError, nearest
from cvexp.text import shown

MAX_PLANNED = 1000


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
    """

    experiment: str | None
    plot: str | None
    runs: tuple[PlannedRun, ...]


def read_experiment(path: Path) -> Experiment:
    """Read an experiment file.

    It is YAML with the keys `defaults` (settings of every run), `runs` (a list of settings, which may add `name` and
    `published`), `grid` (settings with lists of values, every combination of which is a run), `experiment` and `plot`.

    Raises:
        ConfigError: The file cannot be read, or a key or value in it is wrong; the nearest valid key is named.
    """
    content = _yaml(path, "run", "see how one is written: experiments/learnpytorch.yaml")
    top = _keys(content, ("experiment", "plot", "defaults", "runs", "grid"), str(path))
    defaults = _settings(top.get("defaults"), f"{path}: defaults")
    planned = [_planned(run, defaults, f"{path}: run {n}") for n, run in enumerate(_list(top.get("runs"), path), 1)]
    planned += [_planned(run, defaults, f"{path}: grid") for run in _combinations(top.get("grid"), path)]
    if not planned:
        raise ConfigError(f"{path} asks for no runs", "list some under `runs:` or `grid:`")
    _refuse_too_many(len(planned), path)
    experiment, plot = (_text(top.get(key), key, str(path)) for key in ("experiment", "plot"))
    return Experiment(experiment=experiment, plot=plot, runs=tuple(planned))


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
        raise ConfigError(f"{path} asks for {n_runs:,} runs", f"at most {MAX_PLANNED:,} fit one file")


def _text(value: Any, key: str, where: str) -> str | None:
    """`value`, if it is nothing or text that can name something."""
    if value is None or (isinstance(value, str) and value.isprintable() and value.strip()):
        return value
    raise ConfigError(f"{where}: `{key}` is text, not {shown(value)}", f"for example: {key}: first")


def _keys(value: Any, valid: Iterable[str], where: str) -> dict[str, Any]:
    """`value` as a mapping whose keys are all valid."""
    names = list(valid)
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: a mapping is wanted, not {shown(value)}", "valid keys: " + ", ".join(names))
    for key in value:
        if key not in names:
            raise ConfigError(f"{where}: unknown key {shown(key)}", nearest(str(key)[:80], names))
    return value


def _settings(value: Any, where: str) -> dict[str, Any]:
    """`value` as a mapping of settings; None for none."""
    return {} if value is None else _keys(value, settings_of(RunConfig), where)


def _list(value: Any, path: Path) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"{path}: `runs` is a list, not {shown(value)}", "start each run with a dash")
    return value or []


def _planned(run: Any, defaults: Mapping[str, Any], where: str) -> PlannedRun:
    settings = {**defaults, **_keys(run, [*settings_of(RunConfig), "name", "published"], where)}
    name, published = settings.pop("name", None), settings.pop("published", None) or {}
    if not (isinstance(published, dict) and all(isinstance(value, int | float) for value in published.values())):
        what = f"{where}: `published` maps metric keys to numbers, not {shown(published)}"
        raise ConfigError(what, "for example: published: {test/accuracy: 0.83}")
    try:
        return PlannedRun(config=run_config(settings), name=run_name(_text(name, "name", where)), published=published)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.what}", *error.hints) from None


def _combinations(grid: Any, path: Path) -> list[dict[str, Any]]:
    """Every combination of the values that a grid lists."""
    axes = _settings(grid, f"{path}: grid")
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            what = f"{path}: grid: `{name}` is a list of values, not {shown(values)}"
            raise ConfigError(what, f"for example: {name}: [1, 2]")
    _refuse_too_many(math.prod(map(len, axes.values())), path)
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())] if axes else []
