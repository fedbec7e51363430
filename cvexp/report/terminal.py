"""Consoles, tables, and JSON on stdout."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cvexp.text import clean, escaped, finite

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SCHEMA_VERSION = 1
WIDE = 240
"""Columns for files and pipes, which have no width."""


def console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr that honours NO_COLOR and COLUMNS, and does not truncate rows in files."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDE
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def cell(text: object, style: str = "") -> Text:
    """A table cell that shows `text` literally, without rich's markup."""
    return Text(clean(text), style=style)


def table(*columns: tuple[str, str], title: str | None = None) -> Table:
    """An empty table whose columns are (header, `left` or `right`)."""
    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, caption_justify="left")
    for header, justify in columns:
        made.add_column(header, justify="right" if justify == "right" else "left")
    return made


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON object with `schema_version` on stdout; figures that are not finite become null."""
    text = json.dumps(
        finite({"schema_version": SCHEMA_VERSION, **document}), indent=2, ensure_ascii=False, allow_nan=False
    )
    sys.stdout.write(escaped(text) + "\n")
    sys.stdout.flush()


def hint(text: str) -> None:
    """Print a hint on stderr."""
    console(stderr=True).print(Text(clean(text), style="dim"), soft_wrap=True)


def suggest(*commands: str) -> None:
    """Print on stderr what to type next, if anything."""
    if commands:
        hint("next     " + "   |   ".join(commands))


def shape(dimensions: Sequence[int]) -> str:
    """Dimensions as people write them: 1x28x28."""
    return "x".join(map(str, dimensions))


def seconds(value: float) -> str:
    """A duration in seconds under a minute, in minutes above."""
    if value < 1:
        return f"{value:.2f} s"
    if value < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{value:.1f} s"
    return f"{int(value // 60)} min {value % 60:.0f} s"
