"""The recipe: what identifies runs that are repeats of each other, apart from their seed."""

import hashlib
import json
from collections.abc import Mapping

from cvexp.config.model import ModelArg
from cvexp.config.option import as_typed, settings_of
from cvexp.config.run import RunConfig

DIGITS = 16  # hexadecimal


def recipe(
    params: Mapping[str, str], argument_defaults: Mapping[str, ModelArg], *, kind: type[RunConfig] = RunConfig
) -> str:
    """The digest of a run's configuration without its seed, and without the number of devices that shared the work.

    What is at its default is left out, so that an option or a model argument that is added later, with a default that
    changes nothing, leaves the digests of earlier runs as they are. A file of weights counts by its content, which
    `weights_sha256` identifies, and not by its name.

    Args:
        params: The values in effect, from `RunConfig.params` or from a stored run.
        argument_defaults: Defaults of the model's own arguments.
        kind: The configuration whose defaults are meant.
    """
    defaults = {f"model_args.{name}": as_typed(value) for name, value in argument_defaults.items()}
    for name, setting in settings_of(kind).items():
        defaults[name] = as_typed(setting.default_with(params))
    left_out = {"seed", "devices", *_file_names(params)}
    chosen = {name: value for name, value in params.items() if name not in left_out and value != defaults.get(name)}
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:DIGITS]


def agree(settings: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    """Whether every setting that both name, the seed among them, has one value.

    Recipes alone may be equal where a default was changed between two versions.
    """
    left_out = _file_names(settings) & _file_names(wanted)
    return all(wanted.get(name, value) == value for name, value in settings.items() if name not in left_out)


def _file_names(params: Mapping[str, str]) -> set[str]:
    """The settings that name a file whose digest is a setting too."""
    return set() if params.get("weights_sha256", as_typed(None)) == as_typed(None) else {"weights"}
