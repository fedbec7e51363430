"""What a training run is asked to do: one frozen value, validated once, at the boundary."""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - pydantic reads the annotations at run time
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, Literal, get_args

from annotated_types import Ge, Gt, Lt, MinLen

from cvexp.errors import ConfigError, nearest

ModelArg = bool | int | float | str
OptimizerName = Literal["sgd", "adam", "adamw"]
OPTIMIZERS: tuple[OptimizerName, ...] = get_args(OptimizerName)

DEFAULT_LR: Mapping[OptimizerName, float] = {"sgd": 0.1, "adam": 1e-3, "adamw": 1e-3}
"""The course's rate for SGD; torch's own defaults for the other two."""

MAX_SEED = 2**63


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
    """

    model: Annotated[str, MinLen(1)]
    model_args: Mapping[str, ModelArg] = field(default_factory=dict)
    hidden_units: Annotated[int, Ge(1)] = 10
    dataset: Annotated[str, MinLen(1)] = "fashion-mnist"
    epochs: Annotated[int, Ge(1)] = 3
    batch_size: Annotated[int, Ge(1)] = 32
    optimizer: OptimizerName = "sgd"
    lr: Annotated[float, Gt(0), Lt(float("inf"))] | None = None
    seed: Annotated[int, Ge(0), Lt(MAX_SEED)] = 42
    val_split: Annotated[float, Ge(0), Lt(1)] = 0.0
    split_seed: Annotated[int, Ge(0), Lt(2**32)] = 42
    limit: Annotated[int, Ge(1)] | None = None
    device: Annotated[str, MinLen(1)] = "auto"

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


def run_config(settings: Mapping[str, Any]) -> RunConfig:
    """Validate `settings` and make them a RunConfig.

    Args:
        settings: Field names and values, as they come from flags, a file or a call.

    Raises:
        ConfigError: An unknown name (the nearest valid one is named), a wrong type, or a value out of range.
    """
    names = [f.name for f in fields(RunConfig)]
    for name in settings:
        if name not in names:
            raise ConfigError(f"unknown setting: {name!r}", nearest(name, names))
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(RunConfig).validate_python(dict(settings))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        flag = "--" + name.replace("_", "-")
        raise ConfigError(f"{flag} {first.get('input')}: {_reason(first)}", "see: cvexp train --help") from None


def _reason(error: Mapping[str, Any]) -> str:
    """Pydantic's complaint as the end of a sentence."""
    text = str(error["msg"])
    return text[0].lower() + text[1:]


def parse_model_args(pairs: list[str]) -> dict[str, ModelArg]:
    """Read `name=value` pairs; a value is read as YAML would: `false`, `3`, `0.5`, else text.

    Raises:
        ConfigError: A pair without `=`, a repeated name, or a value that is no plain scalar.
    """
    import yaml

    args: dict[str, ModelArg] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise ConfigError(f"--model-arg {pair!r} is not name=value", "for example: --model-arg output_relu=false")
        if name in args:
            raise ConfigError(f"--model-arg {name} is given twice", "give it once")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError:
            value = None
        if not isinstance(value, bool | int | float | str):
            raise ConfigError(f"--model-arg {pair!r}: the value is not a number, true, false or a word")
        args[name] = value
    return args
