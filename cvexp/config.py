"""What a training run is asked to do: one frozen value, validated once, at the boundary."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Le, Lt, MinLen

from cvexp.errors import ConfigError, nearest
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

ModelArg = bool | int | float | str
OptimizerName = Literal["sgd", "adam", "adamw"]
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)
StepName = Literal["auto", "eager", "captured", "cuda-graph"]
STEPS: tuple[StepName, ...] = get_args(StepName)

DEFAULT_LR: Mapping[OptimizerName, float] = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3}
"""The course's rate for SGD; torch's own defaults for the other two."""

MAX_SEED = 2**63
MAX_COUNT = 2**31 - 1
WEIGHTS_SUFFIXES = (".pt", ".safetensors")
"""Of exported files, which may be named wherever a run may."""

LONGEST_NAME = 250
"""Characters of a run's name; MLflow's own stores keep as many."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RunConfig:
    """Everything that decides a run's figures, plus the device it asks for.

    Attributes:
        model: A name from the model registry, or `package.module:factory`.
        model_args: Further arguments of the model's builder.
        hidden_units: Units of the hidden layer, or channels of the convolutions.
        dataset: A name from the dataset registry.
        epochs: Passes over the training images.
        batch_size: Images per optimiser step.
        optimizer: `sgd` (plain), `adam` or `adamw`.
        lr: Learning rate; None takes the optimiser's default.
        seed: Seeds the initial weights and, again, the order of the batches.
        val_split: Fraction of the training images set aside for validation, stratified; 0 for none.
        split_seed: Seeds which images those are, apart from `seed`, so that runs that differ in `seed` share them.
        limit: At most so many images of each split, drawn at random with `split_seed`; None for all.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        step: How steps are run: `eager`, `captured` (CPU), `cuda-graph`, or `auto` for the fastest that can serve.
        threads: CPU threads; None lets the model's size decide.
        log_every: Log the loss of every so many steps too; 0 for none.
        allow_nan: Go on training when the loss is no longer a finite number.
    """

    model: Annotated[str, MinLen(1)]
    model_args: Mapping[str, ModelArg] = field(default_factory=dict)
    hidden_units: Annotated[int, Ge(1), Le(2**16)] = 10
    dataset: Annotated[str, MinLen(1)] = "fashion-mnist"
    epochs: Annotated[int, Ge(1), Le(MAX_COUNT)] = 3
    batch_size: Annotated[int, Ge(1), Le(MAX_COUNT)] = 32
    optimizer: OptimizerName = "sgd"
    lr: Annotated[float, Gt(0), Lt(float("inf"))] | None = None
    seed: Annotated[int, Ge(0), Lt(MAX_SEED)] = 42
    val_split: Annotated[float, Ge(0), Lt(1)] = 0.0
    split_seed: Annotated[int, Ge(0), Lt(2**32)] = 42
    limit: Annotated[int, Ge(1), Le(MAX_COUNT)] | None = None
    device: Annotated[str, MinLen(1)] = "auto"
    step: StepName = "auto"
    threads: Annotated[int, Ge(1), Le(1024)] | None = None
    log_every: Annotated[int, Ge(0), Le(MAX_COUNT)] = 0
    allow_nan: bool = False

    @property
    def learning_rate(self) -> float:
        """The rate that is used: `lr`, or the optimiser's default."""
        return DEFAULT_LR[self.optimizer] if self.lr is None else self.lr

    def params(self) -> dict[str, str]:
        """Every field as an MLflow parameter; model arguments as `model_args.NAME`, `lr` as the rate in use."""
        flat: dict[str, object] = {f.name: getattr(self, f.name) for f in fields(self)}
        for name, value in self.model_args.items():
            flat[f"model_args.{name}"] = value
        del flat["model_args"]
        flat["lr"] = self.learning_rate
        return {name: _as_typed(value) for name, value in flat.items()}


def _as_typed(value: object) -> str:
    """A value as one would type it: `true` and `none` as YAML and the command line write them."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


SEE_HELP = "see: cvexp train --help"


def run_name(name: str | None) -> str | None:
    """`name`, if it is one that a run can have; None leaves the choice to cvexp.

    Raises:
        ConfigError: It is empty, too long, holds control characters, or means something else where a run is selected.
    """
    if name is None:
        return None
    if not (name.strip() and name.isprintable() and len(name) <= LONGEST_NAME):
        raise ConfigError(
            f"--name {shown(name)}: a name has 1 to {LONGEST_NAME} characters, and no control characters", SEE_HELP
        )
    if name.startswith(("@", "-")):
        raise ConfigError(
            f"--name {shown(name)}: a name does not begin with @ or -", "runs could not be selected by it"
        )
    if name.lower().endswith(WEIGHTS_SUFFIXES):
        raise ConfigError(
            f"--name {shown(name)}: a name does not end in {' or '.join(WEIGHTS_SUFFIXES)}",
            "where a run is selected, such a word is an exported file",
        )
    return name


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """Validate `settings` and make them a RunConfig.

    Args:
        settings: Field names and values, as they come from flags, a file or a call.

    Raises:
        ConfigError: An unknown name (the nearest valid one is named), a wrong type, or a value out of range.
    """
    names = [f.name for f in fields(RunConfig)]
    flags = [f.name for f in fields(RunConfig) if f.type == "bool"]
    for name, value in settings.items():
        if name not in names:
            raise ConfigError(f"unknown setting: {name!r}", nearest(name, names))
        if name == "model_args" and isinstance(value, Mapping):
            for argument in (part for pair in value.items() for part in pair):
                _check_text("--model-arg", argument)
            _refuse_infinite(value)
        if isinstance(value, bool) and name not in flags:
            raise ConfigError(f"--{name.replace('_', '-')} {value}: not a matter of true or false", SEE_HELP)
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(RunConfig).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        flag = "--model-arg" if name == "model_args" else "--" + name.replace("_", "-")
        given = _as_given(first.get("input"))
        raise ConfigError(f"{flag} {given}: {_reason(first)}", SEE_HELP) from None


def _refuse_infinite(model_args: Mapping[str, Any]) -> None:
    """Refuse numbers that JSON, and with it a stored model's specification, cannot hold."""
    for name, value in model_args.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"--model-arg {name}={value}: not a finite number", SEE_HELP)


def _as_given(value: object) -> str:
    """A value as it was typed, cut where it is long."""
    return shown(value)[1:-1] if isinstance(value, str) else shown(value)


def _reason(error: Mapping[str, Any]) -> str:
    """Pydantic's complaint as the end of a sentence."""
    text = str(error["msg"])
    return text[0].lower() + text[1:]


def parse_model_args(pairs: list[str]) -> dict[str, ModelArg]:
    """Read `name=value` pairs; a value is `true` or `false`, a whole number, a number, or else text.

    Raises:
        ConfigError: A pair without `=` or a value, a repeated name, or text that is not UTF-8.
    """
    args: dict[str, ModelArg] = {}
    for pair in pairs:
        _check_text("--model-arg", pair)
        name, _, text = (part.strip() for part in pair.partition("="))
        if not name or not text:
            raise ConfigError(f"--model-arg {pair!r} is not name=value", "for example: --model-arg output_relu=false")
        if name in args:
            raise ConfigError(f"--model-arg {name} is given twice", "give it once")
        args[name] = _typed(text)
    return args


def _check_text(flag: str, value: object) -> None:
    """Refuse text that no file or store takes: bytes of a command line that were no UTF-8."""
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        raise ConfigError(f"{flag} {shown(value)} is not UTF-8", "type it in UTF-8") from error


def _typed(text: str) -> ModelArg:
    """The value that was meant: `0.5` is a number and `word` is text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text


MAX_PLANNED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedRun:
    """One configuration of an experiment.

    Attributes:
        config: What to train.
        name: What to call the run; None for the usual name.
        published: Figures published elsewhere for this configuration, by metric key.
    """

    config: RunConfig
    name: str | None = None
    published: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Experiment:
    """An experiment file: which MLflow experiment it belongs to, and the runs it asks for.

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
    import yaml

    remedy = "see how one is written: experiments/learnpytorch.yaml"
    if path.exists() and not path.is_file():
        raise ConfigError(f"not a file: {path}", remedy)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", "see: cvexp run --help") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # values may be dates or numbers that there are not
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())[:160]}", remedy) from error
    top = _keys(content, ("experiment", "plot", "defaults", "runs", "grid"), str(path))
    defaults = _settings(_or_none(top, "defaults"), f"{path}: defaults")
    planned = [_planned(run, defaults, f"{path}: run {n}") for n, run in enumerate(_list(top.get("runs"), path), 1)]
    planned += [_planned(run, defaults, f"{path}: grid") for run in _combinations(_or_none(top, "grid"), path)]
    if not planned:
        raise ConfigError(f"{path} asks for no runs", "list some under `runs:` or `grid:`")
    _refuse_too_many(len(planned), path)
    experiment, plot = (_text(top.get(key), key, str(path)) for key in ("experiment", "plot"))
    return Experiment(experiment=experiment, plot=plot, runs=tuple(planned))


def _or_none(top: Mapping[str, Any], key: str) -> Any:
    """What stands under `key`; an empty mapping where nothing does."""
    return {} if top.get(key) is None else top[key]


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


def _settings(value: Any, where: str, *more: str) -> dict[str, Any]:
    return _keys(value, [*(f.name for f in fields(RunConfig)), *more], where)


def _list(value: Any, path: Path) -> list[Any]:
    if value is not None and not isinstance(value, list):
        raise ConfigError(f"{path}: `runs` is a list, not {shown(value)}", "start each run with a dash")
    return value or []


def _planned(run: Any, defaults: Mapping[str, Any], where: str) -> PlannedRun:
    settings = {**defaults, **_settings(run, where, "name", "published")}
    name, published = settings.pop("name", None), settings.pop("published", None) or {}
    numbers = isinstance(published, dict) and all(isinstance(v, int | float) for v in published.values())
    if not numbers:
        raise ConfigError(
            f"{where}: `published` maps metric keys to numbers, not {shown(published)}",
            "for example: published: {test/accuracy: 0.83}",
        )
    try:
        return PlannedRun(config=run_config(settings), name=run_name(_text(name, "name", where)), published=published)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error.what}", *error.hints) from None


def _combinations(grid: Any, path: Path) -> list[dict[str, Any]]:
    """Every combination of the values that a grid lists."""
    axes = _settings(grid, f"{path}: grid")
    for name, values in axes.items():
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"{path}: grid: `{name}` is a list of values, not {shown(values)}", f"for example: {name}: [1, 2]"
            )
    _refuse_too_many(math.prod(map(len, axes.values())), path)
    return [dict(zip(axes, point, strict=True)) for point in itertools.product(*axes.values())] if axes else []
