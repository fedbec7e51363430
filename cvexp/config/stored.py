"""A configuration as a stored run's parameters have it, and as one would type it."""

from collections.abc import Mapping
from typing import Any, get_args

from cvexp.config.model import MODEL_ARG, parse_model_args
from cvexp.config.option import settings_of
from cvexp.config.run import RunConfig, run_config

_ARGUMENT = "model_args."


def stored_config(params: Mapping[str, str]) -> RunConfig:
    """The configuration that `RunConfig.params` wrote; settings that are not stored have their defaults.

    Raises:
        ConfigError: A value is out of range, or a setting is not known here: a later version may have written it.
    """
    known = settings_of(RunConfig)
    given: dict[str, Any] = {"model_args": {}}
    for name, text in params.items():
        if name.startswith(_ARGUMENT):
            given["model_args"] |= parse_model_args([f"{name.removeprefix(_ARGUMENT)}={text}"])
        else:
            optional = name in known and type(None) in get_args(known[name].type)
            given[name] = None if optional and text == "none" else text
    return run_config(given)


def typed_words(config: RunConfig) -> list[str]:
    """The words after `cvexp train` that ask for `config`: its model, its seed, and what is not at its default."""
    words = [config.model]
    for name, setting in settings_of(RunConfig).items():
        value = getattr(config, name)
        if setting.is_mapping:
            words += [word for key, item in value.items() for word in (MODEL_ARG, f"{key}={_typed(item)}")]
        elif name == "seed" or (name != "model" and value not in (setting.default, setting.default_with(vars(config)))):
            words += [setting.flag] if value is True else [setting.flag, _typed(value)]
    return words


def _typed(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
