"""A configuration as a stored run's parameters have it, and as one would type it."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, get_args

from cvexp.config.model import MODEL_ARG, parse_model_args
from cvexp.config.option import as_typed, settings_of
from cvexp.config.run import RunConfig, run_config


def config_of(params: Mapping[str, str]) -> RunConfig:
    """The configuration whose `params()` these are, validated: a store's content is untrusted.

    Raises:
        ConfigError: A setting is unknown here, as one of a later version is, or has a value that it cannot have.
    """
    known = settings_of(RunConfig)
    settings: dict[str, Any] = {}
    for name, text in params.items():
        owner, dot, argument = name.partition(".")
        if dot and owner in known and known[owner].is_mapping:
            settings.setdefault(owner, {}).update(parse_model_args([f"{argument}={text}"]))
        else:
            is_none = name in known and NoneType in get_args(known[name].type) and text == as_typed(None)
            settings[name] = None if is_none else text
    return run_config(settings)


def typed_words(config: RunConfig) -> list[str]:
    """The words after `cvexp train` that ask for `config`: its model, its seed, and what is not at its default."""
    words = [config.model]
    for name, setting in settings_of(RunConfig).items():
        value = getattr(config, name)
        if setting.is_mapping:
            words += [word for key, item in value.items() for word in (MODEL_ARG, f"{key}={as_typed(item)}")]
        elif name == "seed" or (name != "model" and value not in (setting.default, setting.default_with(vars(config)))):
            words += [setting.flag] if value is True else [setting.flag, as_typed(value)]
    return words
