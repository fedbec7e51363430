"""Which model is trained."""

import contextlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated

from annotated_types import Ge, Le, MinLen

from cvexp.config.option import SEE_HELP, Component, Option
from cvexp.errors import ConfigError
from cvexp.text import shown

ModelArg = bool | int | float | str
MODEL_ARG = "--model-arg"
MAX_DIGITS = 6

FAMILIES = ("timm", "torchvision")
"""Libraries whose classifiers are models, as `timm:NAME` and `torchvision:NAME`."""

DEFAULT_WEIGHTS = "default"
"""As --weights, the weights that the model's library publishes for it."""

_MODEL = "linear, mlp, tinyvgg, torchvision:NAME, timm:NAME, a plug-in, or package.module:factory (see: cvexp models)."
_MODEL_ARGS = "The model's own argument; may be repeated (mlp: output_relu=false)."
_HIDDEN_UNITS = "Hidden units, or channels."
_WEIGHTS = "Initial weights: safetensors, a state_dict, or default (the library's)."
_SHA256 = "The digest that the file of --weights must have. Without it, the file's own, which the run records."
_FREEZE = "What is not trained: features, all-but-head, or the first N blocks."
_CACHE = "With --freeze all-but-head, run the frozen part over the data once; the head is trained on its outputs."
_FROZEN = ("features", "all-but-head")
_SHA256_FORM = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Component):
    """The model by name, and what its builder is given besides the data's shape."""

    PANEL = "Model"

    model: Annotated[str, MinLen(1), Option(_MODEL, complete="models")]
    model_args: Annotated[Mapping[str, ModelArg], Option(_MODEL_ARGS, flag=MODEL_ARG)] = field(default_factory=dict)
    hidden_units: Annotated[int, Ge(1), Le(2**16), Option(_HIDDEN_UNITS)] = 10
    weights: Annotated[str | None, MinLen(1), Option(_WEIGHTS)] = None
    weights_sha256: Annotated[str | None, Option(_SHA256, advanced=True)] = None
    freeze: Annotated[str | None, Option(_FREEZE)] = None
    cache_features: Annotated[bool, Option(_CACHE, advanced=True)] = False

    def check(self) -> None:
        """Refuse arguments that a stored model's JSON cannot hold, and settings that do not go together."""
        for name, value in self.model_args.items():
            check_text(MODEL_ARG, name, value)
            if isinstance(value, float) and not math.isfinite(value):
                raise ConfigError(f"{MODEL_ARG} {name}={value}: not a finite number", SEE_HELP)
        if self.weights is not None:
            check_text("--weights", self.weights)
        if self.weights_sha256 is not None:
            if self.weights in (None, DEFAULT_WEIGHTS):
                self.refuse("weights_sha256", "it is the digest of a file, which --weights names")
            if not _SHA256_FORM.fullmatch(self.weights_sha256):
                self.refuse("weights_sha256", "it has 64 hexadecimal digits, in lower case")
        if self.freeze is not None and not (self.freeze in _FROZEN or _is_count(self.freeze)):
            self.refuse("freeze", f"{', '.join(_FROZEN)}, or how many blocks, such as 2")
        if self.cache_features and self.freeze is None:
            self.refuse("cache_features", "it needs --freeze all-but-head")


def names_code(model: str) -> bool:
    """Whether `model` is a `package.module:factory`, code that only the user may name: not of a library."""
    package, colon, _ = model.partition(":")
    return bool(colon) and package not in FAMILIES


def _is_count(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text[:MAX_DIGITS]) >= 1


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
