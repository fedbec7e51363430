"""One run's settings from a file and from flags: flags beat the file, and both beat the defaults."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from cvexp.config.experiment import read_settings
from cvexp.config.option import settings_of
from cvexp.config.run import RunConfig, run_config
from cvexp.errors import ConfigError


class Sourced(NamedTuple):
    """A value in effect, and where it comes from."""

    value: Any
    source: Literal["default", "file", "flag"]


class Settings:
    """What was asked for, by names of RunConfig's fields: in the file of `--config`, if any, and by flags.

    Arguments of the model are merged one by one.
    """

    def __init__(self, path: Path | None, flags: Mapping[str, Any]) -> None:
        self._path, self._flags = path, flags
        self._file = {} if path is None else read_settings(path)

    def config(self) -> RunConfig:
        """The configuration, validated.

        Raises:
            ConfigError: There is no model, or a value cannot be used; one of the file is named with the file.
        """
        asked = {**self._file, **self._flags}
        if "model" not in asked:
            example = "for example: cvexp train tinyvgg"
            raise ConfigError("MODEL is missing", example, "see which there are: cvexp models")
        if isinstance(args := self._file.get("model_args"), dict):
            asked["model_args"] = {**args, **self._flags.get("model_args", {})}
        try:
            return run_config(asked)
        except ConfigError as error:
            in_file = {*self._file} - {*self._flags}
            if error.what.split()[0].rstrip(":") not in {settings_of(RunConfig)[name].flag for name in in_file}:
                raise
            raise ConfigError(f"{self._path}: {error.what}", *error.hints) from None

    def explained(self, config: RunConfig) -> dict[str, Sourced]:
        """Every value in effect of `config`, which was made of these; the model's arguments as `model_args.NAME`."""

        def sourced(name: str, value: Any, flags: Mapping[str, Any], file: Mapping[str, Any]) -> Sourced:
            return Sourced(value, "flag" if name in flags else "file" if name in file else "default")

        names = [name for name in settings_of(RunConfig) if name != "model_args"]
        found = {name: sourced(name, config.effective(name), self._flags, self._file) for name in names}
        given = [one.get("model_args") or {} for one in (self._flags, self._file)]
        return found | {f"model_args.{name}": sourced(name, one, *given) for name, one in config.model_args.items()}
