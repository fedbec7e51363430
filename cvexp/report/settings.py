"""How settings in effect are shown: as a file that `cvexp train --config` reads."""

import sys
from collections.abc import Mapping
from typing import Any

from cvexp.config.sources import Sourced

ARGUMENT = "model_args."


def show(settings: Mapping[str, Sourced]) -> None:
    """Print YAML, the source of each value as a comment."""
    arguments = {name: one for name, one in settings.items() if name.startswith(ARGUMENT)}
    lines = [_line(name, one) for name, one in settings.items() if name not in arguments]
    if arguments:
        lines += ["model_args:\n", *(f"  {_line(name.removeprefix(ARGUMENT), one)}" for name, one in arguments.items())]
    sys.stdout.write("".join(lines))


def _line(name: str, setting: Sourced) -> str:
    import yaml

    # Escapes whatever is not ASCII, so that control characters do not reach the terminal.
    pair = yaml.safe_dump({name: setting.value}, width=float("inf"), allow_unicode=False).rstrip("\n")
    return f"{pair}  # {setting.source}\n"


def document(settings: Mapping[str, Sourced]) -> dict[str, Any]:
    """The settings for `--json`."""
    return {name: one._asdict() for name, one in settings.items()}
