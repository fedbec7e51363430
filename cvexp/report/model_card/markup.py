"""Markdown: tables, blocks of code, and text that came from data, escaped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cvexp.text import clean, markdown

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


def rows_of(rows: Mapping[str, str]) -> str:
    """A table of names and values, those that are empty left out."""
    return table(("", ""), [(name, value) for name, value in rows.items() if value])


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table whose cells are Markdown already."""
    cells = [list(header), *map(list, rows)]
    lines = ["| " + " | ".join(one) + " |" for one in cells]
    return "\n".join([lines[0], "|" + "---|" * len(cells[0]), *lines[1:]])


def block(language: str, content: str) -> str:
    """A fenced block of code: no line of it ends the block."""
    lines = (clean(line).replace("```", "'''") for line in content.split("\n"))
    return "\n".join([f"```{language}", *lines, "```"])


def plain(value: object) -> str:
    """Text without markup."""
    return markdown(value)


def code(value: object) -> str:
    """A code span: no backtick ends it, and no bar the cell it is in."""
    return "`" + clean(value).replace("`", "'").replace("|", "\\|") + "`"
