"""Which model is trained."""

import contextlib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le, MinLen

from cvexp.config.option import SEE_HELP, Component, Option
from cvexp.errors import ConfigError
from cvexp.text import shown

ModelArg = bool | int | float | str
MODEL_ARG = "--model-arg"

_MODEL = "linear, mlp, tinyvgg, a plug-in's name, or package.module:factory (see: cvexp models)."
_MODEL_ARGS = "The model's own argument; may be repeated (mlp: output_relu=false)."
_HIDDEN_UNITS = "Hidden units, or channels."


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Component):
    """The model by name, and what its builder is given besides the data's shape."""

    PANEL = "Model"

    model: Annotated[str, MinLen(1), Option(_MODEL, complete="models")]
    model_args: Annotated[Mapping[str, ModelArg], Option(_MODEL_ARGS, flag=MODEL_ARG)] = field(default_factory=dict)
    hidden_units: Annotated[int, Ge(1), Le(2**16), Option(_HIDDEN_UNITS)] = 10

    def check(self) -> None:
        """Refuse arguments that a stored model's JSON specification cannot hold."""
        for name, value in self.model_args.items():
            check_text(MODEL_ARG, name, value)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{MODEL_ARG} {name}={value}: not a finite number", SEE_HELP)


def check_text(flag: str, *values: object) -> None:
    """Refuse text that no file or store takes: bytes of a command line that were no UTF-8."""
    for value in values:
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{flag} {shown(value)} is not UTF-8", "type it in UTF-8") from error


def parse_model_args(pairs: Iterable[str]) -> dict[str, ModelArg]:
    """Read `name=value` pairs; a value is `true` or `false`, a whole number, a number, or else text.

    Raises:
        ConfigError: A pair without `=` or a value, a repeated name, or text that is not UTF-8.
    """
    args: dict[str, ModelArg] = {}
    for pair in pairs:
        check_text(MODEL_ARG, pair)
        name, _, text = (part.strip() for part in pair.partition("="))
        if not name or not text:
            raise ConfigError(f"{MODEL_ARG} {pair!r} is not name=value", f"for example: {MODEL_ARG} output_relu=false")
        if name in args:
            raise ConfigError(f"{MODEL_ARG} {name} is given twice", "give it once")
        args[name] = _value(text)
    return args


def _value(text: str) -> ModelArg:
    """The value that was meant: `0.5` is a number and `word` is text."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(text)
    return text
