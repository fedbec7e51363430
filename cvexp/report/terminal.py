"""Consoles, tables, and JSON on stdout."""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cvexp.text import clean, escaped, finite

SCHEMA_VERSION = 1
PIECES = 10_000
"""Of JSON that are written at a time."""

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


def table(*headers: str) -> Table:
    """An empty table; a header that starts with `>` is of a column that is aligned right."""
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_header=any(header.strip(">") for header in headers))
    for header in headers:
        made.add_column(header.removeprefix(">"), justify="right" if header.startswith(">") else "left")
    return made


def show_rows(rows: Mapping[str, str], *, bold: str) -> None:
    """Print names and values on stdout, the value called `bold` in bold."""
    shown = table("", ">")
    for name, value in rows.items():
        shown.add_row(name, cell(value, "bold" if name == bold else ""))
    console().print(shown)


def print_json(document: Mapping[str, Any]) -> None:
    """Print one JSON object with `schema_version` on stdout; figures that are not finite become null, paths text."""
    plain = finite({"schema_version": SCHEMA_VERSION, **document})
    encoder = json.JSONEncoder(indent=2, ensure_ascii=False, allow_nan=False, default=os.fspath)
    pieces = encoder.iterencode(plain)
    while some := "".join(islice(pieces, PIECES)):  # the text of ten thousand runs takes a hundred megabytes at once
        sys.stdout.write(escaped(some))
    sys.stdout.write("\n")
    sys.stdout.flush()


def say(text: object, style: str = "") -> None:
    """Print one line literally on stdout; the terminal wraps it where it is long."""
    console().print(cell(text, style), soft_wrap=True)


def hint(*lines: str | None) -> None:
    """Print hints on stderr, those that are None or empty left out."""
    for line in filter(None, lines):
        console(stderr=True).print(cell(line, "dim"), soft_wrap=True)


def suggest(*commands: str) -> None:
    """Print on stderr what to type next, if anything."""
    if commands:
        hint("next     " + "   |   ".join(commands))


def shape(dimensions: Sequence[int]) -> str:
    """Dimensions as people write them: 1x28x28."""
    return "x".join(map(str, dimensions))


def seconds(value: float) -> str:
    """A duration in seconds under a minute, in minutes above."""
    if value < 59.95:  # noqa: PLR2004 - what is rounded to a minute is one
        return f"{value:.{2 if value < 1 else 1}f} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest} s"
