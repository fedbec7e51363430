"""Mappings of a file, whose keys are checked against the valid ones."""

from collections.abc import Iterable
from typing import Any

from cvexp.errors import ConfigError, nearest
from cvexp.text import shown


def keyed(value: Any, valid: Iterable[str], where: str) -> dict[str, Any]:
    """`value` as a mapping whose keys are all valid; `where` begins the message of the ConfigError about others."""
    names = list(valid)
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: a mapping is wanted, not {shown(value)}", "valid keys: " + ", ".join(names))
    for key in value:
        if key not in names:
            raise ConfigError(f"{where}: unknown key {shown(key)}", nearest(str(key)[:80], names))
    return value
