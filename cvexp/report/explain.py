"""How settings in effect are shown: as a file that `cvexp train --config` reads."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cvexp.config.sources import Sourced

ARGUMENT = "model_args."


def show(settings: Mapping[str, Sourced]) -> None:
    """Print YAML, the source of each value as a comment."""
    lines = [(name, one) for name, one in settings.items() if not name.startswith(ARGUMENT)]
    arguments = [(name.removeprefix(ARGUMENT), one) for name, one in settings.items() if name.startswith(ARGUMENT)]
    text = "".join(_line(name, one) for name, one in lines)
    if arguments:
        text += "model_args:\n" + "".join(f"  {_line(name, one)}" for name, one in arguments)
    sys.stdout.write(text)


def _line(name: str, setting: Sourced) -> str:
    import yaml

    # Escapes whatever is not ASCII, so that control characters do not reach the terminal.
    pair = yaml.safe_dump({name: setting.value}, width=float("inf"), allow_unicode=False).rstrip("\n")
    return f"{pair}  # {setting.source}\n"


def document(settings: Mapping[str, Sourced]) -> dict[str, Any]:
    """The settings for `--json`."""
    return {name: {"value": one.value, "source": one.source} for name, one in settings.items()}
